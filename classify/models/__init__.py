"""A head as layers of a network; one model file from picture to probability.

Doors: `run_model.open_run`, `model_file.Artefact`, `layers.build_model`, `linear.fold`.
"""
