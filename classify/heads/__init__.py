"""Classifiers on embeddings: the table, the search for settings, calibration."""
