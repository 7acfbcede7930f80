"""A folder that holds data sets' files, Parquet or tars, and no picture of its own."""

import os
from pathlib import Path

from extract.sources.places.parquet import SUFFIXES as PARQUET
from extract.sources.walk import is_ignored, is_paper

TAR = ".tar"
_DEEP = 3  # folders below each other, as data/, or default/train/


def shards(folder: Path) -> list[str]:
    """List the Parquet files or tars in a folder, in order of their names; none where it holds others beside papers.

    Returns
    -------
    files : list of str
        Relative paths with '/', all of one kind.
    """
    found: list[str] = []
    return sorted(found) if _take(str(folder), "", found, _DEEP) else []


def _take(root: str, folder: str, found: list[str], deep: int) -> bool:
    """Gather the files of a folder and those below it; False as soon as one is of another kind."""
    inner = []
    try:
        with os.scandir(os.path.join(root, folder)) as listing:
            for entry in listing:
                path = f"{folder}/{entry.name}" if folder else entry.name
                kind = os.path.splitext(entry.name)[1].lower()
                if is_ignored(entry.name):
                    continue
                if entry.is_dir():
                    inner.append(path)
                elif kind in (TAR, *PARQUET):
                    found.append(path)
                    if not found[0].lower().endswith(kind):
                        return False
                elif not is_paper(entry.name):
                    return False
    except OSError:
        return False
    return all(deep > 0 and _take(root, path, found, deep - 1) for path in inner)
