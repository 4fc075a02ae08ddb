"""Flags to requests, errors to exit codes; one file per verb."""
