"""The user's cache folder: what costs time or a download and can be had again."""

import os
from pathlib import Path

import platformdirs


def user_folder() -> Path:
    """Where networks and models are kept (``COLDFRAME_CACHE`` moves it)."""
    return Path(
        os.environ.get("COLDFRAME_CACHE") or platformdirs.user_cache_dir("coldframe", appauthor=False)
    )
