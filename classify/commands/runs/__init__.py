"""Commands on run folders: `runs ls` and `runs rm`."""
