"""Which pictures are most alike, by their rows: found once for a data set, and kept beside its space.

Doors: `cached.neighbours_of`, `search.nearest`.
"""
