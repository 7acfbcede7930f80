"""Faults on purpose, one file per kind, and what they need: a workspace, a process, a layer of file operations."""
