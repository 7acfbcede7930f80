"""How many settings of one classifier are fitted on one fold."""
