"""The build graph: operations, vertices and cache keys. Pure data."""
