"""Classifiers on embeddings: the table, the search for settings, calibration.

Doors: `table.HEADS`, `search.search`, `calibration.CalibratedHead`, `arrays.ArrayHead`.
"""
