"""How many settings of one classifier are fitted on one fold.

Doors: `fitters.fit_each`, `logistic.solve`, `scaling.scalings`, `scores.class_scores`.
"""
