"""`serve`: a run that answers in the browser, on this machine."""
