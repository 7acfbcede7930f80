"""`cache ls`, `verify`, `gc` and `export`, a file each."""
