"""`evaluate`: a run on new labelled pictures."""
