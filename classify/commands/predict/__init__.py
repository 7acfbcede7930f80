"""`predict`: pictures to labels with the best run."""
