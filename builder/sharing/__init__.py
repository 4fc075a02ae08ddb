"""What machines share of their caches: records, selections and layers, in a directory, a registry or an image."""
