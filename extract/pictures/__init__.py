"""The bytes of a picture become square RGB pixels, plain or augmented.

Doors: `decoding.decode`, `decoding.render`, `augmentation.View`, `policies.POLICIES`, `files.load`.
"""
