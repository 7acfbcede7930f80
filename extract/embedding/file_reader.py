"""Read files, for the pipeline or one by one: one pass over the bytes gives both the key and the pixels."""

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cache.manifest import Manifest
from cache.storage.store import Reject
from extract.embedding.runner import Claims, Read
from extract.pictures.augmentation import View
from extract.pictures.decoding import RejectedImage, render
from extract.settings import Decoding

MAX_BYTES = 512 * 2**20  # a file that a picture never is; reading it would only fill the memory


class FileReader:
    """Reads the files of a manifest, completes its keys and stat columns, and decodes what has no row.

    Parameters
    ----------
    manifest : Manifest
        Rows are updated in place: key, size and mtime_ns as of the bytes that were read.
    size : int
        Side of the decoded pictures in pixels.
    decoding : Decoding
    claims : Claims
        Says which keys are to be computed.
    refused : dict
        Key to reason of pictures that this decoder is known to refuse; they are not decoded again.
    view : View, optional
        Default: the plain pictures.
    """

    def __init__(
        self,
        manifest: Manifest,
        size: int,
        decoding: Decoding,
        claims: Claims,
        refused: dict[bytes, str],
        view: View | None = None,
    ) -> None:
        self._manifest, self._root = manifest, Path(manifest.root)
        self._size, self._decoding, self._view = size, decoding, view
        self._claims, self._refused = claims, refused

    def __call__(self, indices: Sequence[int]) -> list[Read]:
        """Read, hash and decode the files at these rows of the manifest."""
        reads, contents = [], []
        for index in indices:
            read, data = self._load(index)
            reads.append(read)
            if read.key is not None:
                contents.append((read, data))
        keys = [read.key for read, _ in contents if read.key is not None]
        for (read, data), mine in zip(contents, self._claims.take(keys), strict=True):
            if mine:
                self._decode(read, data)
        return reads

    def _load(self, index: int) -> tuple[Read, bytes]:
        manifest, read, data = self._manifest, Read(index), b""
        try:
            data, found = _read(self._root / manifest.paths[index])
        except RejectedImage as error:
            manifest.key[index] = 0
            read.reject = self._reject(index, None, error.reason)
            return read, data
        digest = hashlib.sha256(data)
        read.key = digest.digest()
        manifest.key[index] = bytearray(read.key)
        manifest.size[index], manifest.mtime_ns[index] = found.st_size, found.st_mtime_ns
        return read, data

    def _decode(self, read: Read, data: bytes) -> None:
        assert read.key is not None
        try:
            if read.key in self._refused:
                raise RejectedImage(self._refused[read.key])
            read.pixels = render(data, read.key, self._size, self._decoding, self._view)
        except RejectedImage as error:
            read.reject = self._reject(read.index, read.key, error.reason)

    def _reject(self, index: int, key: bytes | None, reason: str) -> Reject:
        return Reject(key, self._manifest.paths[index], reason, self._decoding.limits)


def load(
    root: Path, path: str, key: bytes, size: int, decoding: Decoding, view: View | None = None
) -> np.ndarray:
    """Read one file and decode it as `FileReader` does, for whoever needs pixels and not rows.

    Parameters
    ----------
    root : Path
    path : str
        Relative to `root`, as in a manifest.
    key : bytes
        The image key that the file is known by, 32 bytes.
    size : int
        Side of the result in pixels.
    decoding : Decoding
    view : View, optional
        Default: the plain picture.

    Returns
    -------
    pixels : ndarray of shape (size, size, 3), dtype uint8
        RGB, 0..255. Read-only.

    Raises
    ------
    RejectedImage
        If the file cannot be read, holds other bytes than `key` says, or is no picture.
    """
    data, _ = _read(root / path)
    if hashlib.sha256(data).digest() != key:
        raise RejectedImage("changed since it was extracted")
    return render(data, key, size, decoding, view)


def load_row(
    manifest: Manifest, row: int, size: int, decoding: Decoding, view: View | None = None
) -> np.ndarray:
    """Decode the picture of a row of a hashed manifest again; as `load` does."""
    path, key = manifest.paths[row], manifest.key[row].tobytes()
    return load(Path(manifest.root), path, key, size, decoding, view)


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    try:
        # Never waits for a pipe that took a picture's name since the scan.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb", buffering=0) as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise RejectedImage("cannot be read: not a regular file")
            if found.st_size > MAX_BYTES:
                raise RejectedImage(
                    f"cannot be read: file too large: {found.st_size:,} bytes, the limit is {MAX_BYTES:,}"
                )
            return file.readall(), found
    except OSError as error:
        raise RejectedImage(f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # no file can have such a name
        raise RejectedImage(f"cannot be read: {error}") from error
