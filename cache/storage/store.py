"""The store of one space: sealed shards of embeddings, found by image key."""

import contextlib
import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.space import Space
from cache.storage.files import make_folder, move, names, open_regular, remove, status_of, write_file
from cache.storage.intact import Intact, identity, is_intact
from cache.storage.json_file import DamagedJson, check, read_json, write_json
from cache.storage.lookup import check_finite, locate, read
from cache.storage.rejects import Reject, read_rejects, write_rejects
from cache.storage.remote.mirror import mirror_of
from cache.storage.shard import DamagedShard, Shard, seal, stamp_after

__all__ = ["Reject", "Store"]


class Store:
    """All rows of one space. Rows are only ever added; any number of processes may do so at once.

    Where a key was added more than once, the newest row is the one that counts: that is how `--force` mends
    rows that nobody trusts any more, without anything being overwritten.

    Parameters
    ----------
    folder : Path
        `<workspace>/spaces/<id>`.
    space : Space
    """

    def __init__(self, folder: Path, space: Space) -> None:
        self.folder = folder
        self.space = space
        self.intact = Intact(self.shard_folder)
        self._known: dict[str, Shard] = {}  # by file name: a header is read once, unless the file has changed
        self._ignored: set[str] = set()  # damaged, and could not be moved away

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open an existing store; `space.json` must hash to the folder's name, else UserError."""
        path = folder / "space.json"
        try:
            with open_regular(path) as file:
                text = file.read()
        except OSError as error:
            raise UserError(f"Expected a space in {folder}, but {path.name}: {error.strerror}.") from error
        digest = hashlib.sha256(text).hexdigest()
        if digest != folder.name:
            raise UserError(
                f"Expected {path} to hash to its folder's name, received {digest[:12]}: it was changed, so "
                "nobody can say what its embeddings are. Restore it, or move the folder away and run extract "
                "again."
            )
        return cls(folder, Space.from_json(text.decode("utf-8", "replace")))

    def create(self) -> "Store":
        """Make the folders and `space.json` where they are missing."""
        make_folder(self.shard_folder)
        path = self.folder / "space.json"
        if not path.exists():
            write_file(path, self.space.to_json().encode("ascii"))
        return self

    @property
    def shard_folder(self) -> Path:
        """Where the sealed shards lie."""
        return self.folder / "shards"

    def paths(self) -> list[Path]:
        """List the shard files there are now, newest first, without opening them."""
        there = [name for name in names(self.shard_folder) if name.endswith(".h5")]
        return [self.shard_folder / name for name in sorted(there, reverse=True) if name not in self._ignored]

    def shards(self) -> list[Shard]:
        """List the shards there are now, newest first; those that do not open are set aside with a warning."""
        return list(self._each(self.open_shard))

    def verified(self) -> Iterator[Shard]:
        """Yield the shards that rows are taken from, newest first, with their keys in memory.

        What this machine has not yet compared with its hash is read and compared first. Damaged ones are set aside
        with a warning.
        """
        return self._each(self._verified)

    def __len__(self) -> int:
        """Count the rows, repeated keys included."""
        return sum(map(len, self.shards()))

    def set_aside(self, path: Path, why: str) -> Path:
        """Move a damaged shard to `damaged/` with a warning; its rows become misses. Returns its place."""
        target = self.folder / "damaged" / path.name
        try:
            move(path, target)
            done = f"It was moved to {target}"
        except (OSError, UserError) as error:
            target = path
            self._ignored.add(path.name)
            done = f"It is ignored, and could not be moved away ({error})"
        self._known.pop(path.name, None)
        warnings.warn(
            f"Damaged shard {path.name}: {why}. {done}; extract computes its rows again.", stacklevel=2
        )
        return target

    def contains(self, keys: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell which keys have a row. keys (n, 32) uint8, any order, repeats allowed -> (n,) bool."""
        return locate(keys, self.verified())[1] >= 0

    def gather(self, keys: NDArray[np.uint8], paths: Sequence[str] = ()) -> NDArray[np.float32]:
        """Read the rows of these keys.

        Parameters
        ----------
        keys : (n, 32) uint8
            In any order; repeats allowed.
        paths : sequence of str, optional
            Names of the pictures, for what is said of them.

        Returns
        -------
        (n, ...) float32
            In the order asked; float16 storage is widened.

        Raises
        ------
        UserError
            When some keys have no row, or one that is not finite.
        """
        if len(keys) == 0:
            shape = next((shard.shape for shard in self.verified()), (0,))
            return np.empty((0, *shape), np.float32)
        return next(self.stream(keys, len(keys), paths))

    def stream(
        self, keys: NDArray[np.uint8], block: int, paths: Sequence[str] = ()
    ) -> Iterator[NDArray[np.float32]]:
        """Yield what `gather(keys)` returns in blocks of `block` rows, so that it need not fit in memory."""
        shards, which, row = locate(keys, self.verified())
        missing = int(np.count_nonzero(which < 0))
        if missing:
            raise UserError(
                f"Expected an embedding for each of {len(keys):,} pictures, {missing:,} have none in space "
                f"{self.space.id[:12]} ({self.space.backbone}). Run `python cli.py extract FOLDER/` first."
            )
        for start in range(0, len(keys), block):
            part = slice(start, start + block)
            try:
                rows = read(shards, which[part], row[part])
            except (FileNotFoundError, DamagedShard) as change:
                self.notice(change)
                rows = self.gather(keys[part], paths[part])
            check_finite(rows, keys[part], paths[part], self.space)
            yield rows

    def notice(self, change: FileNotFoundError | DamagedShard) -> None:
        """Set a shard aside that was damaged since it was listed; one that is gone was merged into another."""
        if isinstance(change, DamagedShard):
            self.set_aside(change.path, str(change))

    def add(self, keys: NDArray[np.uint8], rows: NDArray[Any]) -> Path:
        """Seal rows as one new shard.

        Parameters
        ----------
        keys : (n, 32) uint8, n >= 1
        rows : (n, ...) float
            Stored in the space's dtype; finite in it.

        Returns
        -------
        Path
            The sealed file. Only once this returns are the rows safe.

        Raises
        ------
        UserError
            When the disk is full, the rows do not look like those already there, or some are not finite.
        """
        shape = next(
            (shard.shape for shard in self._known.values() or self._each(self.open_shard)), rows.shape[1:]
        )
        if rows.shape[1:] != shape:
            raise UserError(
                f"Expected rows of shape {shape} as already kept in space {self.space.id[:12]}, received "
                f"{rows.shape[1:]}. Check that the backbone and its weights are the ones this space names."
            )
        with np.errstate(over="ignore"):  # told below, with what to do
            stored = np.asarray(rows, self.space.dtype)
        bad = np.count_nonzero(~np.isfinite(stored).all(axis=tuple(range(1, stored.ndim))))
        if bad:
            raise UserError(
                f"Expected finite numbers, received NaN or infinity in {bad} of {len(rows)} rows stored as "
                f"{self.space.dtype}. float16 ends at 65504: use float32 storage or precision."
            )
        self.create()  # somebody may have deleted it since
        newest = next((path.name.partition("-")[0] for path in self.paths()), "")
        path = seal(self.shard_folder, self.space.id, keys, stored, stamp=stamp_after(newest))
        with contextlib.suppress(FileNotFoundError):  # merged already
            self.intact.add(path.name, identity(status_of(path)))
        return path

    def remove(self, shard: Shard) -> None:
        """Delete a shard whose rows all lie in a newer one; it may be gone already."""
        remove(shard.path)

    def add_rejects(self, rejects: Iterable[Reject]) -> None:
        """Record pictures that could not be embedded."""
        write_rejects(self.folder / "rejects", rejects)

    def rejects(self, decoder: str) -> dict[bytes, str]:
        """Return key -> reason of the pictures that exactly this decoder is known to refuse."""
        return {
            reject.key: reject.reason
            for reject in read_rejects(self.folder / "rejects")
            if reject.key is not None and reject.decoder == decoder
        }

    def rejected(self, keys: NDArray[np.uint8], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which of (n, 32) keys were rejected, whatever the decoder, `among` (n,) bool: (n,) bool."""
        found = np.zeros(len(keys), bool)
        if among.any():
            known = {reject.key for reject in read_rejects(self.folder / "rejects")}
            found[among] = [key.tobytes() in known for key in keys[among]]
        return found

    def record_origin(self, **facts: Any) -> None:
        """Keep what made the rows but does not change them: where the weights lay, engine, versions."""
        write_json(self.folder / "origin.json", facts)

    def origin(self) -> dict[str, Any]:
        """Return what `record_origin` kept last; empty when nothing was computed yet.

        Raises
        ------
        UserError
            When it is damaged: it says where the weights are, and which pictures were too large.
        """
        path = self.folder / "origin.json"
        try:
            return check(read_json(path), model=str, weights=str, max_pixels=int)
        except FileNotFoundError:
            return {}
        except (OSError, DamagedJson) as error:
            raise UserError(
                f"Expected in {path} what made the embeddings, but: {error}. Delete it and run extract again with the "
                "same --backbone and --weights: nothing is computed again."
            ) from error

    def open_shard(self, path: Path) -> Shard:
        """Open a shard; one that is open already is opened again only if its file has changed since."""
        shard = self._known.get(path.name)
        if shard is None or shard.identity != identity(status_of(path)):
            shard = Shard(path, self.space.id)
            if shard.dtype != self.space.dtype:
                raise DamagedShard(path, f"expected rows of {self.space.dtype}, received {shard.dtype}")
            self._known[path.name] = shard
        return shard

    def _verified(self, path: Path) -> Shard:
        shard = self.open_shard(path)
        mirror = mirror_of(path)  # an object that is read by ranges is the store's to keep whole
        if not self.intact.has(path.name, shard.identity) and (mirror is None or mirror.copied(path)):
            if not is_intact(path):
                raise DamagedShard(path, "its bytes do not have the hash in its name")
            self.intact.add(path.name, shard.identity)
        _ = shard.keys
        return shard

    def _each(self, opened: Callable[[Path], Shard]) -> Iterator[Shard]:
        """Open the shards one by one, newest first, listing again until nothing new shows.

        A single listing can miss both a shard that `gc` removes while the folder is read and the merged one
        that replaces it.
        """
        seen: set[str] = set()
        mirror = mirror_of(self.shard_folder)
        while fresh := [path for path in self.paths() if path.name not in seen]:
            if mirror:
                mirror.bring(fresh)
            for path in fresh:
                seen.add(path.name)
                try:
                    shard = opened(path)
                except FileNotFoundError:  # merged into another since it was listed
                    continue
                except DamagedShard as damage:
                    self.set_aside(path, str(damage))
                    continue
                yield shard
