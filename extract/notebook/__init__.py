"""The same from Python: ImageEmbedder and add_arrays.

Doors: `image_embedder.ImageEmbedder`, `arrays.add_arrays`.
"""
