"""Read files, for the pipeline or one by one: one pass over the bytes gives both the key and the pixels."""

from collections.abc import Sequence
from pathlib import Path

from cache.manifest import Manifest
from cache.storage.rejects import Reject
from extract.embedding.runner import Claims, Read
from extract.embedding.thumbnails import Thumbnails
from extract.pictures.augmentation import View
from extract.pictures.decoding import RejectedImage, decode_both, limits, render
from extract.pictures.files import Contents, large, opened
from extract.settings import Decoding


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
    thumbnails : Thumbnails, optional
        Takes those of the plain pictures.
    """

    def __init__(
        self,
        manifest: Manifest,
        size: int,
        decoding: Decoding,
        claims: Claims,
        refused: dict[bytes, str],
        view: View | None = None,
        thumbnails: Thumbnails | None = None,
    ) -> None:
        self._manifest, self._root = manifest, Path(manifest.root)
        self._size, self._decoding, self._view = size, decoding, view
        self._claims, self._refused = claims, refused
        self._thumbnails = thumbnails if view is None else None

    def __call__(self, indices: Sequence[int]) -> list[Read]:
        """Read, hash and decode the files at these rows of the manifest; the large ones one by one."""
        reads, together = [], []
        for index in indices:
            read = Read(index)
            reads.append(read)
            try:
                with opened(self._root / self._manifest.paths[index]) as contents:
                    self._know(read, contents)
                    if large(contents.status):
                        self._decode([(read, contents.data)])
                    else:
                        together.append((read, contents.data))
                    del contents  # before another file takes its room
            except RejectedImage as error:
                self._manifest.key[index] = 0
                read.reject = self._reject(index, None, error.reason)
        self._decode(together)
        return reads

    def _know(self, read: Read, contents: Contents) -> None:
        manifest, index, status = self._manifest, read.index, contents.status
        read.key = contents.key
        manifest.key[index] = bytearray(contents.key)
        manifest.size[index], manifest.mtime_ns[index] = status.st_size, status.st_mtime_ns

    def _decode(self, files: Sequence[tuple[Read, bytes]]) -> None:
        """Give pixels, or a reject, to those whose rows are to be computed."""
        wanted = self._claims.take([read.key for read, _ in files if read.key is not None])
        for (read, data), mine in zip(files, wanted, strict=True):
            if mine:
                self._decode_one(read, data)

    def _decode_one(self, read: Read, data: bytes) -> None:
        assert read.key is not None
        try:
            if read.key in self._refused:
                raise RejectedImage(self._refused[read.key])
            if self._thumbnails is None:
                read.pixels = render(data, read.key, self._size, self._decoding, self._view)
            else:
                read.pixels, small = decode_both(data, self._size, self._decoding)
                self._thumbnails.add(read.key, small)
        except RejectedImage as error:
            read.reject = self._reject(read.index, read.key, error.reason)

    def _reject(self, index: int, key: bytes | None, reason: str) -> Reject:
        return Reject(key, self._manifest.paths[index], reason, limits(self._decoding))
