"""Epochs over a Keras network."""
