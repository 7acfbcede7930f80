"""Networks of one's own: SavedModel, .keras file, KerasHub preset."""
