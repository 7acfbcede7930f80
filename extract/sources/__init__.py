"""What a command may be pointed at - folder, table, archive, tfds: - becomes a manifest."""
