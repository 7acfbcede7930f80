"""Bytes on the disk: files that are whole or absent, and the shards of one space, found by image key."""
