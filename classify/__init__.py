"""From embeddings to decisions: heads, splits, search, calibration, evaluation, runs and prediction."""
