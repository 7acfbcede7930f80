"""A manifest becomes rows: read, decode, run, seal."""
