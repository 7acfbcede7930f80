"""The small convolutional network trained from scratch, for comparison."""
