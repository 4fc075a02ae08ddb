"""Blobs, index, snapshots, cache records, leases: everything that lapstrake keeps on disk."""
