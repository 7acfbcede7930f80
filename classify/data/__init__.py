"""Which pictures train and which test."""
