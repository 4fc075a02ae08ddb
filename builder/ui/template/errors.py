"""What is wrong with a template, in the words of Go's."""

from __future__ import annotations


class TemplateError(Exception):
    """A template cannot be read, or fails on a value; the text is the one that Go's library has for it."""


class Unevaluable(Exception):
    """Something went wrong in a part of a template whose place the caller knows."""
