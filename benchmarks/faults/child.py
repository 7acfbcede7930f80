"""A command in a process of its own: a fork of this one, which has imported all that commands need."""

import contextlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults.layer import Layer

ROOT = Path(__file__).parents[2]
LIMIT, SLOW = 100.0, {"finetune": 600.0}  # seconds; what takes longer hangs


@dataclass(frozen=True)
class Ended:
    """What a process said, how it ended, and the file operations it did."""

    words: tuple[str, ...]
    code: int  # negative: the signal that ended it
    out: str
    err: str
    seconds: float
    peak: float  # MiB
    hangs: bool = False
    operations: list[tuple[str, str]] = field(default_factory=list)

    @property
    def broke(self) -> str:
        """The last line of a traceback, or the signal, or that it hangs; empty if it ended as a program should."""
        if self.hangs:
            return f"hangs: ended after {self.seconds:.0f} s"
        if "Traceback (most recent call last)" in self.err + self.out:
            return ([line for line in self.err.splitlines() if line.strip()] or ["traceback"])[-1][:160]
        return f"ended by {signal.Signals(-self.code).name}" if self.code < 0 else ""


class Child:
    """A command that runs in a fork.

    Parameters
    ----------
    folder : Path
        Where it runs.
    words : sequence of str
        Of the command line.
    layer : Layer, optional
        Installed in the fork.
    limits : dict of int to int
        Limits of the system for it, as `resource` numbers them.
    """

    def __init__(
        self,
        folder: Path,
        words: Sequence[str],
        layer: Layer | None = None,
        limits: dict[int, int] | None = None,
    ) -> None:
        self.words, self.said = (
            tuple(words),
            [folder.parent / f"said-{os.urandom(4).hex()}-{i}" for i in "123"],
        )
        self.started = time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            self._live(folder, layer, limits or {})

    def _live(self, folder: Path, layer: Layer | None, limits: dict[int, int]) -> None:
        code = 1
        try:
            os.setpgid(0, 0)
            os.chdir(folder)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, path in enumerate(self.said[:2], 1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
            sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), "utf-8", write_through=True)
            sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), "utf-8", "backslashreplace", write_through=True)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            import cli

            for kind, value in limits.items():
                resource.setrlimit(kind, (value, value))
            if layer:
                layer.install()
            code = cli.main(list(self.words))
            sys.stdout.flush()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                if layer:
                    layer.root = os.devnull  # what is written from here on is no longer disturbed
                    self.said[2].write_text(json.dumps(layer.done))
            os._exit(code & 255)

    def wait(self, limit: float | None = None, kill_after: float | None = None) -> Ended:
        """Wait for its end; kill it after so many seconds, or when it takes too long."""
        limit = limit or SLOW.get(self.words[0], LIMIT)
        end = self.started + (limit if kill_after is None else kill_after)
        pid, status, use, hangs = 0, 0, None, False
        while not pid:
            pid, status, use = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end:
                with contextlib.suppress(ProcessLookupError):  # it has no group of its own yet
                    os.killpg(self.pid, signal.SIGKILL)
                os.kill(self.pid, signal.SIGKILL)
                pid, status, use = os.wait4(self.pid, 0)
                hangs = kill_after is None
            else:
                time.sleep(0.002)
        out, err, trace = (path.read_bytes() if path.exists() else b"" for path in self.said)
        for path in self.said:
            path.unlink(missing_ok=True)
        operations = [(name, path) for name, path in json.loads(trace or "[]")]
        return Ended(
            self.words,
            os.waitstatus_to_exitcode(status),
            out.decode("utf-8", "surrogateescape"),
            err.decode("utf-8", "surrogateescape"),
            time.monotonic() - self.started,
            use.ru_maxrss / 1024 if use else 0,
            hangs,
            operations,
        )


def real(
    folder: Path, shell: str, words: Sequence[str], python: Sequence[str] = (str(ROOT / "cli.py"),)
) -> Ended:
    """Run Python on `cli.py` from the start, by a line of the shell where "$@" stands for the command."""
    started = time.monotonic()
    process = subprocess.Popen(
        ["sh", "-c", shell, "sh", sys.executable, *python, *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        out, err = process.communicate(timeout=LIMIT)
        hangs = False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        (out, err), hangs = process.communicate(), True
    texts = [text.decode("utf-8", "surrogateescape") for text in (out, err)]
    return Ended(tuple(words), process.returncode, *texts, time.monotonic() - started, 0, hangs)
