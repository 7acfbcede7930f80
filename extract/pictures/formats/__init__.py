"""What is particular to files of one format."""
