"""Pictures to embeddings: scan, decode, backbones, engines and the pipeline that joins them.

For notebooks: `ImageEmbedder`, a scikit-learn transformer, and `add_arrays`, which makes arrays a data set.
"""

import importlib
from typing import Any

_PUBLIC = {"ImageEmbedder": "extract.notebook.image_embedder", "add_arrays": "extract.notebook.arrays"}
__all__ = ["ImageEmbedder", "add_arrays"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the commands that embed must not pay for scikit-learn.
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
