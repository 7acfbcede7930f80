"""The file operations of a process: counted, and disturbed at one of them.

Python tells an audit hook of each open, rename, unlink and mkdir before it does them; writes and syncs are wrapped.
What a library does in C or C++ by itself is not seen.
"""

import builtins
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

EVENTS = {
    "open": "open",
    "os.rename": "rename",
    "os.remove": "unlink",
    "os.mkdir": "mkdir",
    "os.listdir": "list",
    "os.scandir": "list",
}
_write, _fsync, _open = os.write, os.fsync, io.open


class Layer:
    """Operations below one folder; the `at`-th of these names is disturbed, and all later ones, too, if `on`."""

    def __init__(
        self,
        root: Path,
        act: Callable[[str], None] | None = None,
        at: int = 0,
        names: tuple[str, ...] = (),
        on: bool = False,
    ) -> None:
        self.root, self.act, self.at, self.names, self.on = str(root) + os.sep, act, at, names, on
        self.done: list[tuple[str, str]] = []
        self._lock, self._busy = threading.Lock(), False

    def install(self) -> None:
        """Take effect in this process, for good."""
        sys.addaudithook(self._audit)
        os.write, os.fsync = self._written, self._synced  # type: ignore[assignment]
        builtins.open = io.open = self._opened  # type: ignore[assignment]

    def step(self, name: str, path: Any, half: Callable[[], object] | None = None) -> None:
        """Note an operation that is about to happen; `half` does half of it, where a disturbance leaves that."""
        if self._busy or not isinstance(path, str | bytes | os.PathLike):
            return
        where = os.path.abspath(os.fsdecode(path))
        if not where.startswith(self.root) or (self.names and name not in self.names):
            return
        with self._lock:
            self.done.append((name, where))
            number = len(self.done)
        if self.act and (number == self.at or (self.on and number > self.at)):
            self._busy = True
            try:
                if half:
                    half()
                self.act(where)
            finally:
                self._busy = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS:
            self.step(EVENTS[event], arguments[0])

    def _written(self, handle: int, data: Any) -> int:
        self.step(
            "write", _name(handle), lambda: _write(handle, memoryview(data).cast("B")[: len(data) // 2])
        )
        return _write(handle, data)

    def _synced(self, handle: Any) -> None:
        self.step("fsync", _name(handle if isinstance(handle, int) else handle.fileno()))
        _fsync(handle)

    def _opened(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        """As `open`, through a raw file whose writes are seen."""
        if not set(mode) & set("wax+"):
            return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = Raw(self, file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if "b" in mode and buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffered = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)


class Raw(io.FileIO):
    """A file whose writes pass through the layer."""

    def __init__(self, layer: Layer, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._layer = layer

    def write(self, data: Any) -> int:
        half = memoryview(data).cast("B")[: memoryview(data).nbytes // 2]
        self._layer.step("write", self.name, lambda: super(Raw, self).write(half))
        return super().write(data)


def fail(number: int) -> Callable[[str], None]:
    """Refuse the operation, as the system would with this errno."""

    def act(path: str) -> None:
        raise OSError(number, os.strerror(number), path)

    return act


def kill(path: str) -> None:
    """End the process as nothing can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt(path: str) -> None:
    """Press Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def _name(handle: int) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{handle}")
    except OSError:
        return None
