"""Pulling from and pushing to registries."""
