"""What git has checked out, made into what a step may copy."""

from __future__ import annotations

import os


def forget_repositories(files: str) -> None:
    """Remove the files that say where the repositories of submodules are: they are not in the image."""
    for directory, names, others in os.walk(files):
        if directory != files and ".git" in others:
            os.unlink(f"{directory}/.git")
        names[:] = [name for name in names if name != ".git"]


def set_times(directory: str, seconds: int) -> None:
    """Give a time of change to everything at and below a directory, links included."""
    for path, names, others in os.walk(directory, topdown=False):
        for name in (*names, *others):
            os.utime(f"{path}/{name}", (seconds, seconds), follow_symlinks=False)
    os.utime(directory, (seconds, seconds))
