"""Where the roots of a graph come from: images, contexts."""
