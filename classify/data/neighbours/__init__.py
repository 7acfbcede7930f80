"""Which pictures are alike, by rows and thumbnails: found once for a data set, and kept beside its space.

Doors: `cached.neighbours_of`, `search.nearest`, `copies.copies_of`, `near_duplicates.groups`.
"""
