"""`publish`: a finished run as a folder for a model hub, or as a run of MLflow."""
