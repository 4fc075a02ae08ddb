"""Builds OCI images from Dockerfiles, without a daemon."""
