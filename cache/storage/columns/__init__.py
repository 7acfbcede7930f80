"""Columns of a table that are no plain arrays of numbers: texts, and numbers of half precision.

Doors: `texts.Texts`, `halves.widened`.
"""
