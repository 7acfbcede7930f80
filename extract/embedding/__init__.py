"""A manifest becomes rows: read, decode, run, seal.

Doors: `extractor.Extractor`, `runner.run`, `spaces.make_space`, `views.augment`, `progress.Progress`.
"""
