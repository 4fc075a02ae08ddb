"""Runs a process in a root file system; knows no Dockerfile, image or registry."""
