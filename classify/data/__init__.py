"""Which pictures train and which test.

Doors: `division.divide`, `splits.split`, `neighbours`, `labelled.Labelled`.
"""
