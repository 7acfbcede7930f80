"""The same from Python: ImageEmbedder and add_arrays."""
