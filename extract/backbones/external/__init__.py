"""Networks of one's own: SavedModel, .keras file, KerasHub preset.

Doors: `kinds.KINDS`, `kinds.find`, `kinds.build`.
"""
