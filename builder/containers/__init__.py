"""Running containers from images."""
