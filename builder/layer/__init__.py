"""Directories to tar streams and back, whiteouts, compression. Knows no store."""
