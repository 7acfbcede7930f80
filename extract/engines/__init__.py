"""What runs a network: LiteRT or Keras, converted once, timed once.

Doors: `choice.open_engine`, `engine.Engine`, `conversion.convert`, `timing.milliseconds`.
"""
