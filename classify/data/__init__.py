"""Which pictures train and which test.

Doors: `division.divide`, `splits.split`, `near_duplicates.groups`, `labelled.Labelled`.
"""
