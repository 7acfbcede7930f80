"""What a command may be pointed at - folder, table, archive, tfds: - becomes a manifest.

Doors: `source.open_source`, `scan.Scan`, `unlabelled.list_pictures`.
"""
