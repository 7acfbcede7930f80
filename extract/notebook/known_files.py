"""The keys of files that this process has read, so that asking again for an unchanged file reads nothing."""

import os

from cache.manifest import Manifest

_MOST = 1_000_000  # files; about 0.3 GB


class KnownFiles:
    """Size, time of last change and key of files, by absolute path."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int, bytes]] = {}

    def fill(self, manifest: Manifest, rows: list[int]) -> None:
        """Give the rows (indices) of a manifest their keys, where file, size and time are as they were."""
        for row in rows:
            known = self._found.get(os.path.join(manifest.root, manifest.paths[row]))
            if known is None:
                continue
            try:
                status = os.stat(os.path.join(manifest.root, manifest.paths[row]))
            except OSError:
                continue  # who reads it says why it cannot be read
            if known[:2] == (status.st_size, status.st_mtime_ns):
                manifest.key[row] = bytearray(known[2])

    def learn(self, manifest: Manifest, rows: list[int]) -> None:
        """Keep what reading told of these rows (indices) of a manifest."""
        if len(self._found) + len(rows) > _MOST:
            self._found.clear()
        for row in rows:
            key = manifest.key[row].tobytes()
            if any(key):
                stat = int(manifest.size[row]), int(manifest.mtime_ns[row])
                self._found[os.path.join(manifest.root, manifest.paths[row])] = (*stat, key)
