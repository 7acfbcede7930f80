"""A head as layers of a network; one model file from picture to probability; a run that answers.

Doors: `classifier.open_classifier`, `predictor.Predictor`, `run_model.open_run`, `model_file.Artefact`,
`layers.build_model`, `linear.fold`.
"""
