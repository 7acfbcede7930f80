"""Figures with their uncertainty.

Doors: `evaluation.evaluate`, `comparison.compare`, `reliability.calibration`, `intervals.wilson`.
"""
