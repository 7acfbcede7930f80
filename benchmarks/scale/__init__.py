"""The sections of `benchmarks/scale.py`, and what they share: `made` rows, and a `measured` command."""
