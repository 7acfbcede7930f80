"""What runs a network: LiteRT or Keras, converted once, timed once."""
