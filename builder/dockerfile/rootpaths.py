"""Paths inside images and contexts, as text: joined and cleaned without looking at any disk."""

from __future__ import annotations


def clean(path: str) -> str:
    """Return the absolute path without `.`, `..` and doubled slashes; `..` stops at the root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def join(directory: str, path: str) -> str:
    """Return the cleaned `path` as seen from `directory`."""
    return clean(path if path.startswith("/") else f"{directory}/{path}")


def destination(directory: str, path: str) -> str:
    """Return the cleaned destination of a copy; it ends in a slash when it must be a directory."""
    joined = join(directory, path)
    is_directory = path in ("", ".") or path.endswith(("/", "/."))
    return joined if joined == "/" or not is_directory else joined + "/"


def working_directory(current: str, path: str) -> str:
    """Return what WORKDIR makes of a path: an absolute one stays as written, a relative one is joined."""
    if path.startswith("/"):
        return path
    return join(current or "/", path) if path else current or "/"
