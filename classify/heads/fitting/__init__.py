"""How many settings of one classifier are fitted on one fold.

Doors: `fitters.fit_each`, `logistic.logistic`, `scaling.scalings`, `scores.class_scores`.
"""
