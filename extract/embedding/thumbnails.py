"""Thumbnails of the pictures of a space, by which near copies are told: made while files are decoded, kept by key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cache.manifest import Manifest
from cache.space import Space
from cache.storage.keys import KEY_BYTES
from cache.storage.store import Store
from cache.workspace import Workspace
from extract.embedding.progress import Progress
from extract.machine import usable_cores
from extract.pictures.decoding import DECODERS, RejectedImage, decode_both, resizer_of
from extract.pictures.files import opened
from extract.pictures.thumbnail import SIDE
from extract.settings import Decoding

_FILES = 512  # read between two looks at Ctrl-C
_SEAL = 16 * _FILES


def thumbnails_of(workspace: Workspace, space: Space) -> Store:
    """Return the store of the thumbnails that go with the embeddings of a space.

    Spaces whose pictures are decoded alike share it: what a thumbnail is depends on nothing else.
    """
    return workspace.thumbnails(
        Space(
            backbone="thumbnail",
            weights="none",
            pooling="luma",
            input_size=SIDE,
            resize="squash",
            preprocessing=f"decoded for {space.input_size} {space.resize}",
            decoder=DECODERS[_resizer(space)],
            dtype="float16",
        )
    )


def _resizer(space: Space) -> str:
    """Its decoder's; for the decoder of another version, Pillow, by which it was before there was a choice."""
    return resizer_of(space.decoder) if space.decoder in DECODERS.values() else "pillow"


class Thumbnails:
    """Thumbnails on their way into their store.

    Parameters
    ----------
    store : Store
    again : bool
        Keep also those that are there already.
    """

    def __init__(self, store: Store, again: bool = False) -> None:
        self._store, self._again = store, again
        self._made: dict[bytes, np.ndarray] = {}

    def add(self, key: bytes, pixels: np.ndarray) -> None:
        """Take the thumbnail of the picture with this key; called from several threads."""
        self._made[key] = pixels

    def __len__(self) -> int:
        return len(self._made)

    def seal(self, keys: list[bytes] | None = None) -> None:
        """Put those of these pictures into the store, or all; pictures without one are passed over."""
        mine = [key for key in (list(self._made) if keys is None else keys) if key in self._made]
        pixels = [self._made.pop(key) for key in dict.fromkeys(mine)]
        if not pixels:
            return
        key = np.frombuffer(b"".join(dict.fromkeys(mine)), np.uint8).reshape(-1, KEY_BYTES)
        new = np.ones(len(key), bool) if self._again else ~self._store.contains(key)
        if new.any():
            self._store.create().add(key[new], np.stack(pixels)[new].astype(np.float16))


def complete(workspace: Workspace, space: Space, manifest: Manifest, limit: int, progress: Progress) -> None:
    """Make the thumbnails that a cache of an earlier version lacks, of the files that are still there.

    Parameters
    ----------
    workspace : Workspace
    space : Space
    manifest : Manifest
        Of its rows those that have no thumbnail are read, and a file that has changed since is passed over.
    limit : int
        Pixels of the largest picture that may have a row.
    progress : Progress
    """
    store = thumbnails_of(workspace, space)
    rows = np.flatnonzero(manifest.hashed & ~store.contains(manifest.key))
    root, made = Path(manifest.root), Thumbnails(store)
    if not len(rows) or not root.exists():
        return
    decoding = Decoding(space.resize, limit, _resizer(space))

    def look(row: int) -> None:
        try:
            with opened(root / manifest.paths[row]) as contents:
                if contents.key == manifest.key[row].tobytes():
                    made.add(contents.key, decode_both(contents.data, space.input_size, decoding)[1])
        except RejectedImage:
            return  # gone, or changed: who compares pictures says which have no thumbnail

    progress.start(len(rows))
    try:
        with ThreadPoolExecutor(usable_cores()) as pool:
            for start in range(0, len(rows), _FILES):
                some = rows[start : start + _FILES].tolist()
                list(pool.map(look, some))
                progress.advance(len(some), 0)
                if len(made) >= _SEAL:
                    made.seal()
    finally:
        made.seal()
