"""Hash the files of a manifest that were never read."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cache.manifest import Manifest
from cache.storage.rejects import Reject

_ROWS_PER_TASK = 512  # enough files that handing them to a thread costs nothing beside reading them


def hash_missing(manifest: Manifest, workers: int) -> list[Reject]:
    """Read the files that have no key yet and fill in their keys, in place.

    Parameters
    ----------
    manifest : Manifest
    workers : int
        Threads; more than cores where the disk is slow or far away.

    Returns
    -------
    rejects : list of Reject
        Files that could not be read, in manifest order; their keys stay zero.
    """
    rows = np.flatnonzero(~manifest.hashed).tolist()
    tasks = [rows[start : start + _ROWS_PER_TASK] for start in range(0, len(rows), _ROWS_PER_TASK)]
    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(lambda task: _hash_rows(manifest, task), tasks)
        return [reject for rejects in done for reject in rejects]


def _hash_rows(manifest: Manifest, rows: list[int]) -> list[Reject]:
    rejects = []
    for row in rows:
        path = manifest.paths[row]
        digest = hashlib.sha256()
        # One read for a picture of the expected size, and one that finds the end; bounded for any other file.
        block = min(int(manifest.size[row]) + 1, 1 << 20)
        try:
            with open(os.path.join(manifest.root, path), "rb", buffering=0, opener=_open_at_once) as file:
                while data := file.read(block):
                    digest.update(data)
        except OSError as error:
            rejects.append(Reject(None, path, f"unreadable: {error.strerror}", "scan"))
            continue
        manifest.key[row] = np.frombuffer(digest.digest(), np.uint8)
    return rejects


def _open_at_once(path: str, flags: int) -> int:
    return os.open(
        path, flags | getattr(os, "O_NONBLOCK", 0)
    )  # never waits for a pipe that took the file's place
