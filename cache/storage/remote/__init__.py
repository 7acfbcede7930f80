"""Stores of objects - S3, GCS, Azure - as places for pictures and for a workspace.

Doors: `objects.Objects` reads and writes one; `mirror.mirror_of` tells which paths are copies of objects.
"""
