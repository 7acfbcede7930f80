"""The bytes of a picture become square RGB pixels, plain or augmented."""
