"""A workspace in a store of objects, and the copy of it on this machine that all paths lead to.

Small files are copied when the workspace is opened, and whatever is written goes to the store first. Shards stay there;
their rows are read by ranges, or from a copy where many are asked for.
"""

import atexit
import contextlib
import errno
import hashlib
import io
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cache.storage.remote.copies import Copies
from cache.storage.remote.objects import Changed, Object, Objects, endpoint
from cache.storage.remote.ranges import RangeFile

SHARDS = "shards"
ROWS = re.compile(rf"[^/]+/[^/]+/{SHARDS}/.")  # of names below the address
LATER = re.compile(r"manifests/|[^/]+/[^/]+/damaged/|.*\.lock$")  # not copied before they are opened
# On this machine alone: pictures unpacked from archives, and what is found again of rows.
LOCAL = re.compile(r"sources(/|$)|[^/]+/[^/]+/neighbours(/|$)")
SECONDS = 10.0  # a listing is believed so long
LEASE = 60.0  # seconds after which a lock is taken from who died holding it
SMALL = 4 * 2**20  # bytes of a shard that one request brings whole
REQUEST = 2**18  # bytes that take as long as a request, of many at once
SHARE = 0.25  # of a shard's bytes: once that much was asked for, it is copied
_TASKS = 32  # requests at once

_TEMPORARY = ".tmp-"  # as in `cache.storage.files`

_mirrors: dict[Path, "Mirror"] = {}


class Status(NamedTuple):
    """What `os.stat_result` tells, of an object: the version stands for the times."""

    st_dev: int
    st_ino: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int


def open_mirror(address: str, home: Path) -> Path:
    """Open the workspace at an address; returns the folder of its copy, in `home`, as it is in the store now."""
    folder = _folder(address, home)
    mirror = _mirrors.get(folder) or Mirror(address, folder)
    mirror.pull()
    _mirrors[folder] = mirror
    return folder


def mirror_of(path: Path) -> "Mirror | None":
    """Return the mirror that a path lies in, unless what lies there is of this machine alone."""
    for root, mirror in _mirrors.items():
        if path == root or root in path.parents:
            return None if mirror.is_local(path) else mirror
    return None


class Mirror:
    """The copy in `root` of what lies below an address. A file's time of change is the version that it is a copy of."""

    def __init__(self, address: str, root: Path) -> None:
        self.address, self.root = address, root
        self._objects, self._copies = Objects(address), Copies(root)
        self._known: dict[str, Object] = {}
        self._asked: dict[str, int] = {}  # bytes of a shard that were asked for
        self._listed: dict[str, float] = {}  # folder to the time of its listing
        self._pool = ThreadPoolExecutor(_TASKS, thread_name_prefix="objects")
        self._guard = threading.RLock()

    # ---- the listing

    def pull(self) -> None:
        """List all objects, bring the small ones that are new or changed, and drop copies of those that are gone."""
        began = time.time_ns()
        with self._guard:
            self._known = {found.path: found for found in self._objects.list()}
            self._listed = {"": time.monotonic()}
        self.root.mkdir(parents=True, exist_ok=True)
        self._bring(
            found
            for found in self._known.values()
            if not ROWS.match(found.path) and not LATER.match(found.path)
        )
        self._drop_gone(began)

    def _drop_gone(self, began: int) -> None:
        """Delete copies, older than the listing, of what is not in it, and folders that are empty then."""
        for folder, folders, files in os.walk(self.root):
            here = Path(folder)
            folders[:] = [name for name in folders if not self.is_local(here / name)]
            for path in (here / name for name in files if not name.startswith(_TEMPORARY)):
                with contextlib.suppress(OSError):  # somebody else was faster
                    if self._name(path) not in self._known and path.stat().st_ctime_ns < began:
                        path.unlink()
                        path.parent.rmdir()

    def names(self, folder: Path) -> list[str]:
        """List the objects in a folder, as of a few seconds ago."""
        prefix = f"{self._name(folder)}/"
        with self._guard:
            last = max(self._listed.get("", 0.0), self._listed.get(prefix, 0.0))
            if time.monotonic() - last > SECONDS:
                fresh = {found.path: found for found in self._objects.list(prefix)}
                self._known = {k: v for k, v in self._known.items() if not k.startswith(prefix)} | fresh
                self._listed[prefix] = time.monotonic()
            inside = (name.removeprefix(prefix) for name in self._known if name.startswith(prefix))
            return [name for name in inside if "/" not in name]

    def status(self, path: Path) -> Status:
        """What is known of an object; FileNotFoundError where there is none."""
        found = self._find(path)
        return Status(0, 0, found.size, found.version, 0)

    # ---- reading

    def open(self, path: Path) -> io.BufferedReader:
        """Open an object for reading: its copy, one that is made now, or of a shard the object itself.

        Raises FileNotFoundError where there is none.
        """
        found = self._find(path)
        if not ROWS.match(found.path):
            if not self._copies.has(found):
                self._copy(found)
            return open(path, "rb")
        if self._copies.has(found) or (found.size <= SMALL and self._keep(found)):
            self._copies.touch(found, time.time_ns())
            with contextlib.suppress(FileNotFoundError):  # another process needed the room
                return open(path, "rb")
        return io.BufferedReader(RangeFile(lambda start, end: self._range(path, start, end), found.size))

    def bring(self, paths: Iterable[Path]) -> None:
        """Copy small shards, many at once, before they are opened one by one."""
        named = map(self._name, paths)
        self._bring(found for name in named if (found := self._known.get(name)) and found.size <= SMALL)

    def ranges(self, path: Path, starts: Sequence[int], ends: Sequence[int]) -> Sequence[Any]:
        """Read ranges of bytes of a shard: a buffer each."""
        with self._noticing(path):
            return self._objects.ranges(self._name(path), starts, ends)

    def copy_for(self, path: Path, nbytes: int, requests: int) -> bool:
        """Copy a shard if so many bytes, with those asked for before, are much of it; tells whether it did so now."""
        found = self._find(path)
        nbytes += requests * REQUEST
        asked = self._asked[found.path] = self._asked.get(found.path, 0) + nbytes
        return asked >= SHARE * found.size and not self._copies.has(found) and self._keep(found)

    def copied(self, path: Path) -> bool:
        """Tell whether there is a copy of an object."""
        return self._copies.has(self._find(path))

    # ---- writing

    def write(self, path: Path, data: bytes | memoryview) -> None:
        """Write an object, and its copy."""
        name, size = self._name(path), memoryview(data).nbytes
        found = Object(name, size, self._objects.put(name, data))
        with self._guard:
            self._known[name] = found
        if ROWS.match(name):
            self._copies.keep(found, data, SHARDS)
        else:
            self._copies.write(found, data)

    def delete(self, path: Path) -> None:
        """Delete an object, or all below a folder, and the copies."""
        name = self._name(path)
        with self._guard:
            going = [each for each in self._known if each == name or each.startswith(f"{name}/")]
            self._objects.delete(going or [name])
            for each in going:
                del self._known[each]
                (self.root / each).unlink(missing_ok=True)

    def move(self, path: Path, target: Path) -> None:
        """Give an object another name."""
        name = self._name(path)
        data, _ = self._objects.get(name)
        self._objects.put(self._name(target), data)
        self.delete(path)

    @contextlib.contextmanager
    def lock(self, folder: Path) -> Iterator[None]:
        """Hold a lock among machines, and see what was written before it was given."""
        name, mine = f"{self._name(folder)}/.lock".lstrip("/"), os.urandom(16)
        theirs, since = b"", time.monotonic()
        while not self._objects.put_new(name, mine):
            with contextlib.suppress(FileNotFoundError, Changed):
                held, _ = self._objects.get(name)
                if bytes(held) != theirs:
                    theirs, since = bytes(held), time.monotonic()
                elif time.monotonic() - since > LEASE:  # who had it is gone
                    self._objects.delete([name])
            time.sleep(0.1)
        try:
            self.pull()
            yield
        finally:
            self._objects.delete([name])

    def begin(self, folder: Path) -> None:
        """Make a new folder known to other machines before there is anything in it."""
        self.write(folder / ".begun", b"1")

    # ---- how

    def is_local(self, path: Path) -> bool:
        """Tell whether a path is of this machine alone."""
        return LOCAL.match(self._name(path)) is not None

    def _name(self, path: Path) -> str:
        name = path.relative_to(self.root).as_posix()
        return "" if name == "." else name

    def _find(self, path: Path) -> Object:
        name = self._name(path)
        found = self._known.get(name)
        if found is None:  # or written since the listing, by another process
            try:
                found = self._objects.head(name)
            except FileNotFoundError:
                raise FileNotFoundError(errno.ENOENT, "there is no such object", str(path)) from None
            with self._guard:
                self._known[name] = found
        return found

    def _range(self, path: Path, start: int, end: int) -> bytes:
        return bytes(self.ranges(path, [start], [end])[0])

    @contextlib.contextmanager
    def _noticing(self, path: Path) -> Iterator[None]:
        """Forget an object that is gone."""
        try:
            yield
        except FileNotFoundError:
            with self._guard:
                self._known.pop(self._name(path), None)
            raise

    def _copy(self, found: Object) -> None:
        with self._noticing(self.root / found.path):
            data, found = self._objects.get(found.path)
        with self._guard:
            self._known[found.path] = found
        self._copies.write(found, data)

    def _keep(self, found: Object) -> bool:
        """Copy a shard where there is room for it; tells whether there is."""
        if not self._copies.room_for(found, SHARDS):
            return False
        with self._noticing(self.root / found.path):
            data, found = self._objects.get(found.path)
        return self._copies.keep(found, data, SHARDS)

    def _bring(self, wanted: Iterable[Object]) -> None:
        def one(found: Object) -> None:
            with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                self._keep(found) if ROWS.match(found.path) else self._copy(found)

        list(self._pool.map(one, [found for found in wanted if not self._copies.has(found)]))


def _folder(address: str, home: Path) -> Path:
    if address.startswith("memory:"):  # ends with the process, and so does its copy
        return _passing(address)
    digest = hashlib.sha256(f"{endpoint()} {address}".encode()).hexdigest()
    return home.resolve() / f"{re.sub('[^A-Za-z0-9]+', '-', address)[-40:].strip('-')}-{digest[:8]}"


@cache
def _passing(address: str) -> Path:
    folder = tempfile.mkdtemp(prefix="coldframe-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
