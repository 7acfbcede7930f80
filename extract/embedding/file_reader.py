"""Read files for the pipeline: one pass over the bytes gives the key, and one decoding the pixels of every space."""

from collections.abc import Iterator, Sequence

from cache.manifest import Manifest
from extract.embedding.reading import Read, Taker, claim
from extract.pictures.decoding import RejectedImage
from extract.pictures.files import Contents, address, large, opened
from extract.pictures.look import look_at


class FileReader:
    """Reads the files of a manifest, completes its keys and stat columns, and decodes for who has no row yet.

    Parameters
    ----------
    manifest : Manifest
        Rows are updated in place: key, size and mtime_ns as of the bytes that were read.
    takers : sequence of Taker
        In the order in which a `Read` numbers them.
    """

    def __init__(self, manifest: Manifest, takers: Sequence[Taker]) -> None:
        self._manifest, self._takers = manifest, takers

    def __call__(self, indices: Sequence[int]) -> Iterator[Read]:
        """Read and hash the files at these rows of the manifest, then decode them; the large ones one by one."""
        small: list[tuple[Read, Contents]] = []
        for index in indices:
            read = Read(index)
            try:
                with opened(address(self._manifest, index)) as contents:
                    self._know(read, contents)
                    if not large(contents):
                        small.append((read, contents))
                        continue
                    (numbers,) = claim(self._takers, [contents.key])
                    self._decode(read, contents, numbers)
                    del contents  # before another file takes its room
            except RejectedImage as error:
                self._manifest.key[index] = 0
                self._reject(read, range(len(self._takers)), error.reason)
            yield read
        wanted = claim(self._takers, [contents.key for _, contents in small])
        for (read, contents), numbers in zip(small, wanted, strict=True):
            self._decode(read, contents, numbers)
            yield read

    def _know(self, read: Read, contents: Contents) -> None:
        manifest, index = self._manifest, read.index
        read.key = contents.key
        manifest.key[index] = bytearray(contents.key)
        manifest.size[index], manifest.mtime_ns[index] = contents.size, contents.mtime_ns

    def _decode(self, read: Read, contents: Contents, numbers: Sequence[int]) -> None:
        """Give these takers pixels, or a reject."""
        key, takers = contents.key, dict[int, Taker]()
        for number in numbers:
            taker = self._takers[number]
            if key in taker.refused:
                self._reject(read, [number], taker.refused[key])
            else:
                takers[number] = taker
        seen = look_at(contents.data, key, [taker.look for taker in takers.values()])
        for number, taker in takers.items():
            found = seen[taker.look]
            if isinstance(found, RejectedImage):
                self._reject(read, [number], found.reason)
                continue
            read.pixels[number] = found.pixels
            for beside, part in ((taker.thumbnails, found.thumbnail), (taker.facts, found.facts)):
                if beside is not None and part is not None:
                    beside.add(key, part)

    def _reject(self, read: Read, numbers: Sequence[int], reason: str) -> None:
        path = self._manifest.paths[read.index]
        for number in numbers:
            read.rejects[number] = self._takers[number].reject(read.key, path, reason)
