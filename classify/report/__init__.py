"""How figures are shown: tables, plots, names.

Doors: `text.table`, `text.printable`, `tables.class_table`, `confusion.confusion_png`, `figures.picture_grid`.
"""
