"""Where `ImageEmbedder` was: pickles written then name this module. New ones name the package."""

from extract.notebook.image_embedder import ImageEmbedder

__all__ = ["ImageEmbedder"]
