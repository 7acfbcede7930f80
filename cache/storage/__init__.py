"""Bytes on the disk: files that are whole or absent, and the shards of one space, found by image key.

Doors: `store.Store`, `rejects.Reject`, `files.write_file`, `files.locked`.
"""
