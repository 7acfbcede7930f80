"""The fits of a search, done by workers of a Ray cluster instead of threads of this process.

Doors: `team.spreader`.
"""
