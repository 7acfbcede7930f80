"""Pictures packed into one file or several: archives, which are unpacked, and WebDataset's tars, which are not.

Doors: `archive.unpack`, `webdataset.read_samples`.
"""
