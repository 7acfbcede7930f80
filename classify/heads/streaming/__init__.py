"""Heads of which the rows stay in their shards: sums over blocks in place of rows, and a head is what they say.

Doors: `search.search_rows`, `table.STREAMED`.
"""
