"""`export`: a run's model for another program."""
