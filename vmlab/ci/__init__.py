"""Workflows for other people's CI: the files, and the names of what they cache. Runs nothing."""
