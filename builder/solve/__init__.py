"""Scheduling and executing a build graph."""
