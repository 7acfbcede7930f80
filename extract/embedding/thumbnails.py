"""What is kept of pictures beside their rows, by key: thumbnails, by which near copies are told, and facts.

Both are made while files are decoded.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np

from cache.manifest import Manifest
from cache.space import Space
from cache.storage.keys import KEY_BYTES
from cache.storage.store import Store
from cache.workspace import Workspace
from extract.embedding.progress import Progress
from extract.machine import usable_cores
from extract.pictures.decoding import DECODERS, RejectedImage, decode_whole, resizer_of
from extract.pictures.facts import Facts
from extract.pictures.files import address, opened
from extract.pictures.thumbnail import SIDE
from extract.settings import Decoding
from extract.sources.places.place import is_gone

_FILES = 512  # read between two looks at Ctrl-C
_SEAL = 16 * _FILES


def thumbnails_of(workspace: Workspace, space: Space) -> Store:
    """Return the store of the thumbnails that go with the embeddings of a space.

    Spaces whose pictures are decoded alike share it: what a thumbnail is depends on nothing else.
    """
    return workspace.thumbnails(
        replace(_decoded(space), backbone="thumbnail", pooling="luma", input_size=SIDE, dtype="float16")
    )


def facts_store(workspace: Workspace, space: Space) -> Store:
    """Return the store of the facts (`extract.pictures.facts`), in the same manner."""
    names = ";".join(field.name for field in fields(Facts))
    return workspace.thumbnails(replace(_decoded(space), backbone="facts", pooling=names))


def facts_of(workspace: Workspace, space: Space, keys: np.ndarray) -> Facts:
    """Return what is known of pictures, (n, 32) uint8 keys: each of the facts as (n,) float32.

    NaN for pictures that were embedded by an earlier version, in all facts: `extract` finds them of files that are
    still there.
    """
    store = facts_store(workspace, space)
    known = store.contains(keys)
    found = np.full((len(keys), len(fields(Facts))), np.nan, np.float32)
    if known.any():
        found[known] = store.gather(keys[known])
    return Facts(*found.T)


def _decoded(space: Space) -> Space:
    """What fixes whatever is made of pictures that are decoded as for this space."""
    return Space(
        backbone="",
        weights="none",
        pooling="",
        input_size=space.input_size,
        resize="squash",
        preprocessing=f"decoded for {space.input_size} {space.resize}",
        decoder=DECODERS[_resizer(space)],
    )


def _resizer(space: Space) -> str:
    """Its decoder's; for the decoder of another version, Pillow, by which it was before there was a choice."""
    return resizer_of(space.decoder) if space.decoder in DECODERS.values() else "pillow"


class Beside:
    """Thumbnails or facts on their way into their store.

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
        """Take what is kept of the picture with this key; called from several threads."""
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
            self._store.create().add(key[new], np.stack(pixels)[new])


def complete(
    workspace: Workspace,
    space: Space,
    manifest: Manifest,
    limit: int,
    progress: Progress,
    facts: bool = False,
) -> None:
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
    facts : bool
        Read also those that have no facts.
    """
    stores = thumbnails_of(workspace, space), facts_store(workspace, space)
    there = [store.contains(manifest.key) for store in stores]
    rows = np.flatnonzero(manifest.hashed & ~(there[0] & there[1] if facts else there[0]))
    made = [Beside(store) for store in stores]
    decoding = Decoding(space.resize, limit, _resizer(space))

    def look(row: int) -> None:
        try:
            with opened(address(manifest, row)) as contents:
                if contents.key == manifest.key[row].tobytes():
                    _, *parts = decode_whole(contents.data, space.input_size, decoding)
                    for beside, part in zip(made, parts, strict=True):
                        beside.add(contents.key, part)
        except RejectedImage:
            return  # gone, or changed: who compares pictures says which have no thumbnail

    if not len(rows) or is_gone(manifest.root):
        return
    progress.start(len(rows))
    try:
        with ThreadPoolExecutor(usable_cores()) as pool:
            for start in range(0, len(rows), _FILES):
                some = rows[start : start + _FILES].tolist()
                list(pool.map(look, some))
                progress.advance(len(some), 0)
                if len(made[0]) >= _SEAL:
                    _seal(made)
    finally:
        _seal(made)


def _seal(made: list[Beside]) -> None:
    for beside in made:
        beside.seal()
