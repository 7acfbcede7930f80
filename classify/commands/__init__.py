"""One folder or file a command; none imports another."""
