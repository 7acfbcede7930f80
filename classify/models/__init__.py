"""A head as layers of a network; one model file from picture to probability."""
