"""Dockerfile text to typed instructions, stages and a build graph. Pure: no disk, no network, no processes."""
