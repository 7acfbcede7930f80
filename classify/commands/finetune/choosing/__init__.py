"""What the validating pictures decide: the epoch, how far to go from the head, and how the model asks."""
