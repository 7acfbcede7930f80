"""Rows of a data set, in memory or in their shards: which of both is decided in `budget`, and nowhere else.

Doors: `budget.rows_of`, `blocks.sweep`.
"""
