"""A workspace: the folder that holds the caches and remembers what was used last."""

import errno
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from cache.dataset import Embedded
from cache.errors import UserError
from cache.manifest import Manifest, Outline
from cache.space import LAYER, Space
from cache.storage.files import begin_folder, locked, make_folder, names, remove, user_folder, write_file
from cache.storage.json_file import DamagedJson, check, read_json, write_json
from cache.storage.remote.address import address_of
from cache.storage.remote.mirror import open_mirror
from cache.storage.store import Store

FORMAT = 1
_EXTRACT = "python cli.py extract FOLDER/"
_NAMED = 3  # data sets and spaces that an error names


class Workspace:
    """Spaces, manifests, runs and the current choice of each.

    Parameters
    ----------
    root : Path
        The folder; nothing is created before something is kept in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def locate(cls, option: str | os.PathLike[str] | None = None) -> "Workspace":
        """Choose the workspace: the option, else COLDFRAME_WORKSPACE, else `.coldframe` in this folder.

        Of one in a store of objects (s3://bucket/cache) `root` is the folder of its copy on this machine.
        """
        place = option or os.environ.get("COLDFRAME_WORKSPACE") or ".coldframe"
        if address := address_of(place):
            return cls(open_mirror(address, user_folder() / "workspaces"))
        return cls(Path(place).absolute())

    @property
    def exists(self) -> bool:
        """Whether the workspace was created."""
        return os.path.lexists(self.root / "FORMAT.json")

    @property
    def runs(self) -> Path:
        """Where runs go: beside a `.coldframe` folder, where people look, else inside the workspace."""
        return (self.root.parent if self.root.name == ".coldframe" else self.root) / "runs"

    def create(self) -> "Workspace":
        """Make the workspace where it is missing; an existing one is checked and kept.

        Raises
        ------
        UserError
            When a newer coldframe made it, or it cannot be written.
        """
        if self.exists:
            self._check()
        else:
            make_folder(self.root)
            write_file(self.root / "FORMAT.json", json.dumps({"format": FORMAT}).encode())
        return self

    def _check(self) -> None:
        """Refuse a newer format; a workspace that does not exist is fine: it is empty."""
        path = self.root / "FORMAT.json"
        try:
            form = check(read_json(path), format=int)["format"]
        except FileNotFoundError:
            return
        except NotADirectoryError as error:
            raise UserError(f"Expected the workspace {self.root} to be a folder, received a file.") from error
        except (OSError, DamagedJson, KeyError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
                raise UserError(
                    f"Expected a workspace whose path this system allows, received {self.root}: {error.strerror}. "
                    "Choose a shorter one with --workspace."
                ) from error
            raise UserError(
                f'Expected {{"format": {FORMAT}}} in {path}, but: {error}. Restore it: a text file '
                "with nothing else in it."
            ) from error
        if form != FORMAT:
            raise UserError(
                f"Expected workspace format {FORMAT}, received {form} in {path}: a newer coldframe made it. "
                "Update this one, or choose another folder with --workspace."
            )

    # ---- the current choice

    def state(self) -> dict[str, Any]:
        """Return what was remembered last; empty when nothing was."""
        self._check()
        path = self.root / "current.json"
        advice = "Delete it, and run extract and fit-head again: no picture is embedded again."
        try:
            state = check(read_json(path), dataset=str, space=str, run=dict, runs=dict, last_run=int)
            runs = state.get("runs") or {}
            check(runs, **dict.fromkeys(runs, dict))
            texts = dict.fromkeys(("path", "dataset", "data_sha256", "space"), str)
            for run in (state.get("run"), *runs.values()):
                check(run or {}, cv_accuracy=float, **texts)
                if run and not run.get("path"):
                    raise DamagedJson("a run in it has no path")
            return state
        except FileNotFoundError:
            return {}
        except (OSError, DamagedJson) as error:
            raise UserError(f"Expected in {path} what was used last, but: {error}. {advice}") from error

    def remember(self, **items: Any) -> None:
        """Merge items into the state, `runs` data set by data set; what other processes remember meanwhile is kept."""
        self.create()
        with locked(self.root):
            state = self.state()
            merged = {**state, **items}
            if "runs" in items:
                merged["runs"] = {**(state.get("runs") or {}), **items["runs"]}
            write_json(self.root / "current.json", dict(sorted(merged.items())))

    # ---- spaces

    def spaces(self) -> list[Store]:
        """List the stores there are, ordered by id."""
        self._check()
        found = sorted((self.root / "spaces").glob("*/space.json"))
        return [Store.open(path.parent) for path in found if re.fullmatch("[0-9a-f]{64}", path.parent.name)]

    def store(self, space: Space) -> Store:
        """Return the store of a space, made when it is new."""
        self.create()
        folder = self.root / "spaces" / space.id
        return (Store.open(folder) if (folder / "space.json").exists() else Store(folder, space)).create()

    def thumbnails(self, space: Space) -> Store:
        """Return the store of thumbnails or facts that this space of theirs names; made when the first is added."""
        folder = self.root / "thumbnails" / space.id
        return Store.open(folder) if (folder / "space.json").exists() else Store(folder, space)

    def stores(self) -> list[Store]:
        """List all stores: those of `spaces`, and those of `thumbnails`."""
        found = sorted((self.root / "thumbnails").glob("*/space.json"))
        return self.spaces() + [Store.open(path.parent) for path in found]

    def origin(self, space: Space) -> dict[str, Any]:
        """Return what `Store.record_origin` kept of a space, which need not be here: empty then."""
        return Store(self.root / "spaces" / space.id, space).origin()

    def store_by_id(self, prefix: str) -> Store:
        """Return the store whose id starts so; at least 4 hex digits, and only one may match."""
        stores = self.spaces()
        found = [store for store in stores if store.space.id.startswith(prefix.lower())]
        if len(prefix) < 4 or len(found) != 1:
            known = {f"{store.space.id[:12]} ({store.space.backbone})": 0 for store in stores}
            raise UserError(
                f"Expected at least 4 digits that only one space starts with, received {prefix!r}. "
                f"{_valid(known)}"
            )
        return found[0]

    # ---- data sets

    def datasets(self) -> list[str]:
        """List the names of the manifests there are."""
        self._check()
        return sorted(
            unquote(name.removesuffix(".h5"), errors="surrogateescape")
            for name in names(self.root / "manifests")
            if name.endswith(".h5")
        )

    def manifest(self, name: str) -> Manifest:
        """Load the manifest of a data set."""
        return Manifest.load(self._known(name))

    def outline(self, name: str) -> Outline:
        """Load the root and the numbers of classes and pictures of a data set: at once, however large it is."""
        return Outline.load(self._known(name))

    def _known(self, name: str) -> Path:
        known = self.datasets()
        if name not in known:
            raise UserError(f"Expected a known data set, received {name!r}. {_valid(dict.fromkeys(known))}")
        return self._manifest_path(name)

    def save_manifest(self, name: str, manifest: Manifest) -> None:
        """Keep the manifest of a data set, replacing an older one."""
        self.create()
        path = self._manifest_path(name)
        make_folder(path.parent)
        manifest.save(path)

    def forget_manifest(self, name: str) -> None:
        """Delete the manifest of a data set; the embeddings stay. It may be gone already."""
        remove(self._manifest_path(name))

    def _manifest_path(self, name: str) -> Path:
        if not name:
            raise UserError("Expected a name for the data set, received an empty one. Pass --name NAME.")
        quoted = quote(name, safe=" ", errors="surrogateescape")
        if quoted.startswith("."):  # hidden files are temporary ones
            quoted = "%2E" + quoted[1:]
        return self.root / "manifests" / f"{quoted}.h5"

    def load(self, dataset: str | None = None, space: str | None = None) -> Embedded:
        """Return a data set with its embeddings.

        Parameters
        ----------
        dataset : str, optional
            Name; the current one, when not given.
        space : str, optional
            Start of the id, or of several with commas: their rows side by side; the current one, when not given.

        Raises
        ------
        UserError
            When nothing was extracted yet, a name is unknown, or no sample has an embedding in each space.
        """
        state = self.state()
        name, prefix = dataset or state.get("dataset"), space or state.get("space")
        parts = [known for known in self.datasets() if "@" in known]
        if not name and parts:
            raise UserError(
                f"Expected a whole data set, found only parts of one ({', '.join(parts[:3])}). Once all parts are "
                "done, run `extract` once without --shard to join them; nothing is embedded again."
            )
        if self.datasets() and self.spaces() and not (name and prefix):
            raise UserError(
                f"Expected a data set and a space that were used last in {self.root}, found none: one without two "
                f"classes, and one that was removed, is not. Choose {self._choices(name, prefix)}, or run `{_EXTRACT}` "
                "on a folder of class folders."
            )
        if not name or not prefix:
            raise UserError(
                f"Expected extracted pictures in {self.root}, found none: nothing was extracted yet. "
                f"Run `{_EXTRACT}` first, or point to another workspace with --workspace."
            )
        manifest = self.manifest(name)
        ids = {self.store_by_id(each.strip()).space.id: None for each in prefix.split(",")}
        stores = tuple(map(self.store_by_id, ids))
        found = [store.contains(manifest.key) for store in stores]
        for store, has in zip(stores, found, strict=True):
            if not has.any():
                raise UserError(
                    f"Expected embeddings of {name!r} in space {store.space.id[:12]} ({store.space.backbone}), "
                    f"found none for its {len(manifest):,} pictures. "
                    f"Run `{extract_command(store.space, manifest.root)}`."
                )
        everywhere = np.logical_and.reduce(found)
        if not everywhere.any():
            commands = " and ".join(f"`{extract_command(store.space, manifest.root)}`" for store in stores)
            raise UserError(
                f"Expected pictures of {name!r} with an embedding in each of {len(stores)} spaces, found none: each "
                f"space has other ones. Run {commands}."
            )
        rejected = [store.rejected(manifest.key, ~has) for store, has in zip(stores, found, strict=True)]
        return Embedded(
            name,
            stores,
            manifest.select(everywhere),
            missing=int((~everywhere).sum()),
            refused=int(np.logical_or.reduce(rejected).sum()),
            lacking=tuple(int((~has & ~bad).sum()) for has, bad in zip(found, rejected, strict=True)),
        )

    def _choices(self, dataset: str | None, space: str | None) -> str:
        """What could be named where a data set or a space is not known, the first few of each."""
        every = [store.space for store in self.spaces()]
        rows = [each for each in every if each.view == "plain" and not each.pooling.startswith(LAYER)]
        spaces = [f"--space {each.id[:12]} ({each.backbone})" for each in rows or every]
        datasets = [f"--dataset {shlex.quote(name)}" for name in self.datasets()]
        lacking = ([] if dataset else datasets), ([] if space else spaces)
        return " and ".join(_listed(each) for each in lacking if each)

    # ---- runs

    def new_run(self, command: str) -> Path:
        """Make and return the folder `runs/NNN-command` with the next free number."""
        make_folder(self.runs)
        with locked(self.runs):  # the name alone would let two commands take one number
            run = self.runs / f"{self._last_number() + 1:03d}-{command}"
            begin_folder(run)
        return run

    def reserve_run_numbers(self) -> None:
        """Give none of the numbers so far to another run, whatever is deleted: people and records name runs by them."""
        self.remember(last_run=self._last_number())

    def _last_number(self) -> int:
        used = [int(m[1]) for path in self.runs.iterdir() if (m := re.match(r"(\d+)-", path.name))]
        return max([self.state().get("last_run") or 0, *used])


def _listed(choices: Sequence[str]) -> str:
    """A few choices of many: "a, b, c or others that `cache ls` lists"."""
    if len(choices) > _NAMED:
        choices = [*choices[:_NAMED], "others that `cache ls` lists"]
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))


def _valid(known: Mapping[str, object]) -> str:
    """Say which names would do."""
    return f"Known: {', '.join(known)}." if known else f"There is none yet: run `{_EXTRACT}` first."


def extract_command(space: Space, root: str = "FOLDER/") -> str:
    """The command that embeds the pictures in `root` in a space like this one."""
    words = ["python cli.py extract", shlex.quote(root), "--backbone", shlex.quote(space.backbone)]
    words += ["--pooling", "stages" if space.parts else space.pooling]  # each network has its own default
    if space.precision != "float32":
        words += ["--precision", space.precision.partition(" ")[0]]
    if space.resampling == "bicubic":  # as every space of a coldframe that had no choice
        words += ["--resizer", "pillow"]
    return " ".join(words)
