"""Columns of a table that are no plain arrays of numbers: texts.

Doors: `texts.Texts`.
"""
