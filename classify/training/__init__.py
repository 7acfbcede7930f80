"""Epochs over a Keras network.

Doors: `loop.train`, `batches.TrainingRows`, `settings.Settings`, `history.History`.
"""
