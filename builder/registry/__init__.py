"""Registries: who may be told what, and moving images in and out. `transport` is the only user of requests."""
