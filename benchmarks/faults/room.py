"""A small workspace, prepared once and laid out afresh for each case, always at the same path."""

import hashlib
import importlib
import io
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from faults.child import Child, Ended
from faults.layer import Layer

CLASSES = {"ash": 14, "birch": 13, "cedar": 13}  # 40 pictures
FIT = ("fit-head", "--no-curve", "--folds", "2")
TUNE = ("finetune", "--top", "3", "--epochs", "1", "--views", "0")
LATE = (  # what they import in the middle of their work
    "ai_edge_litert.interpreter",
    "jinja2",
    "joblib",
    "matplotlib.backends.backend_agg",
    "matplotlib.ticker",
    "pandas",
    "sklearn.discriminant_analysis",
    "sklearn.kernel_approximation",
    "sklearn.model_selection",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.svm",
)
SHARED = ("pics", "user/networks")  # large, and never written in place: linked, not copied


class Room:
    """`here` is the folder in which cases run; `states` are what it is laid out from.

    bare: the pictures; full: extracted in two shards, with an archive, a run of fit-head and one of predict; tuned:
    and one of finetune.

    Parameters
    ----------
    scratch : Path
        An empty folder for all of it.
    pictures : Path, optional
        A folder of class folders to take the pictures from; drawn, where there is none.
    """

    def __init__(self, scratch: Path, pictures: Path | None) -> None:
        self.scratch, self.here, self.states = scratch, scratch / "here", scratch / "states"
        self._pictures = pictures
        self._references: dict[Any, Any] = {}

    def prepare(self) -> None:
        """Make the states `bare` and `full`; needs a minute where the network was never converted before."""
        from extract.engines.network_cache import folder

        kept = folder().parent  # converted networks outlive a campaign
        os.environ["COLDFRAME_CACHE"] = str(kept)
        for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            os.environ[name] = str(self.here / "user" / name[4:-5].lower())
        os.environ["COLDFRAME_STATE"] = str(self.here / "user" / "state")
        os.environ.pop("COLDFRAME_WORKSPACE", None)
        self.here.mkdir(parents=True)
        self._draw()
        networks = Layer(kept)
        self.do("extract", "pics", layer=networks)
        used = self.do("extract", "pics", "--workspace", "once", "--force", layer=networks).operations
        for _, path in used:
            source = Path(path)
            if source.is_file():
                target = self.here / "user" / source.relative_to(kept)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        os.environ["COLDFRAME_CACHE"] = str(self.here / "user")
        for leftover in (".coldframe", "once"):
            shutil.rmtree(self.here / leftover)
        self.keep("bare")
        self.do("extract", "more.zip")
        self.do("extract", "pics", "--shard", "1/2")
        self.do("extract", "pics")
        self.do(*FIT)
        self.do("predict", "new")
        self.keep("full")

    def tune(self) -> None:
        """Make the state `tuned`, if it is not there; from here on forks have imported TensorFlow."""
        if not (self.states / "tuned").exists():
            import tensorflow  # noqa: F401

            self.lay("full")
            self.do(*TUNE)
            self.keep("tuned")

    def lay(self, state: str) -> None:
        """Lay out `here` afresh."""
        remove(self.here)
        source = self.states / state

        def copy(one: str, other: str) -> None:
            shared = os.path.relpath(one, source).startswith(SHARED)
            (os.link if shared else shutil.copy2)(one, other)

        shutil.copytree(source, self.here, symlinks=True, copy_function=copy)

    def keep(self, state: str) -> None:
        """Make `here` a state."""
        shutil.copytree(self.here, self.states / state, symlinks=True)

    def run(self, *words: str, layer: Layer | None = None, **options: Any) -> Ended:
        """Run a command here, in a fork, to its end."""
        return Child(self.here, words, layer, options.pop("limits", None)).wait(**options)

    def do(self, *words: str, layer: Layer | None = None) -> Ended:
        """Run a command that must succeed."""
        ended = self.run(*words, layer=layer, limit=600)
        if ended.code:
            raise SystemExit(f"{' '.join(words)}: exit {ended.code}\n{ended.err}")
        return ended

    def reference(
        self, state: str, *commands: Sequence[str], result: Callable[["Room", Ended], Any] | None = None
    ) -> list[tuple[Ended, Any]]:
        """What these commands do, one after the other, from a state without a fault: each end and its result."""
        key = (state, result, *map(tuple, commands))
        if key not in self._references:
            self.lay(state)
            answers = []
            for words in commands:
                ended = self.run(*words, layer=Layer(self.here))
                answers.append((ended, (result or (lambda room, _: facts(room.here)))(self, ended)))
            self._references[key] = answers
        return self._references[key]

    def _draw(self) -> None:
        random = np.random.default_rng(0)
        folders = (
            [path for path in sorted(self._pictures.iterdir()) if path.is_dir()] if self._pictures else []
        )
        for index, (name, count) in enumerate(CLASSES.items()):
            folder = self.here / "pics" / name
            folder.mkdir(parents=True)
            for number in range(count):
                out = folder / f"{number:02}.jpg"
                if folders:
                    shutil.copy2(sorted(folders[index % len(folders)].iterdir())[number], out)
                else:
                    out.write_bytes(picture(random, index))
        (folder / "torn.jpg").write_bytes(out.read_bytes()[:300])
        for name in ("new", "new2/one"):
            (self.here / name).mkdir(parents=True)
        for number in range(3):
            for folder in ("new", "new2/one"):
                (self.here / folder / f"{number}.jpg").write_bytes(picture(random, number))
        with zipfile.ZipFile(self.here / "more.zip", "w") as archive:
            for number in range(6):
                archive.writestr(f"more/{'xy'[number % 2]}/{number}.jpg", picture(random, number % 2))


def picture(random: np.random.Generator, kind: int, side: int = 96) -> bytes:
    """A JPEG that lacks one colour."""
    pixels = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    pixels[..., kind] //= 2
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def preload() -> None:
    """Import what commands import when they run, so that a fork of this process starts at once."""
    import cli

    for command in cli.COMMANDS.values():
        importlib.import_module(command.run.partition(":")[0])
    for name in LATE:
        importlib.import_module(name)


def facts(folder: Path) -> dict[str, Any]:
    """What a workspace holds, whatever the names of its files: rows, manifests, splits and the last run's answers."""
    workspace = folder / ".coldframe"
    rows: dict[str, dict[bytes, bytes]] = {}
    for path in sorted(workspace.glob("spaces/*/shards/[!.]*.h5"), key=lambda path: path.name):
        held = _arrays(path)
        if held is None:
            continue
        space = rows.setdefault(path.parts[-3], {})
        space.update(zip(map(bytes, held["key"]), (row.tobytes() for row in held["embedding"]), strict=True))
    answers = sorted(folder.glob("runs/*/predictions.csv"))
    return {
        "rows": {
            space: {key: hashlib.sha1(row).digest() for key, row in each.items()}
            for space, each in rows.items()
        },
        "manifests": _contents(workspace.glob("manifests/[!.]*.h5"), without=("mtime_ns", "size")),
        "splits": _contents(workspace.glob("splits/[!.]*.h5")),
        "answers": answers[-1].read_bytes() if answers else b"",
    }


def content(path: Path) -> bytes:
    """What an HDF5 file holds, as one hash."""
    held = _arrays(path)
    if held is None:
        return b"unreadable"
    return hashlib.sha1(
        repr(sorted((k, str(v.dtype), v.shape, v.tolist()) for k, v in held.items())).encode()
    ).digest()


def _contents(paths: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        path.name: None if held is None else {k: v.tobytes() for k, v in held.items() if k not in without}
        for path in paths
        for held in [_arrays(path)]
    }


def _arrays(path: Path) -> dict[str, np.ndarray] | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with h5py.File(path) as file:
            return {name: file[name][()] for name in file}
    except (OSError, KeyError, ValueError, RuntimeError, TypeError):
        return None


def leftovers(folder: Path) -> list[str]:
    """Temporary files that are still there."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".tmp-*")]


def age(folder: Path) -> None:
    """Let a day pass for temporary files."""
    for path in folder.rglob(".tmp-*"):
        os.utime(path, (0, 0), follow_symlinks=False)


def remove(folder: Path) -> None:
    """Remove a folder, whatever is in it."""
    if folder.is_dir():
        for path in (
            folder,
            *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()),
        ):
            path.chmod(0o755)
        shutil.rmtree(folder)
