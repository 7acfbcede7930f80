"""`show`: random pictures of a data set with their labels, and what an augmentation makes of them, as one PNG file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from cache.storage.files import make_folder, write_file
from cache.storage.rejects import Reject
from cache.text import counted
from cache.versions import versions
from cache.workspace import Workspace
from classify.commands.options import SampleOptions, ShowOptions
from classify.report.figures import Cell, picture_grid
from classify.report.text import FILE_NAME, file_name, printable
from classify.runs.folder import write_json
from extract.pictures import files
from extract.pictures.augmentation import View
from extract.pictures.decoding import RejectedImage, decode
from extract.settings import AS_NAMED, Columns, Decoding
from extract.sources.changes import left
from extract.sources.source import exists, open_source

FILE = "samples.png"
_SIDE = 224  # pixels, as most backbones look at a picture


@dataclass(frozen=True)
class DrawnPictures:
    """The file, what is on it in the order of reading, and what was passed over."""

    file: Path
    dataset: str
    pictures: list[dict[str, str]]  # path and label
    rejects: list[Reject] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The result as the command line's JSON."""
        return {
            "file": str(self.file),
            "dataset": self.dataset,
            "pictures": self.pictures,
            "rejects": [reject.to_json() for reject in self.rejects],
        }

    def to_text(self) -> str:
        """The same for people."""
        passed = f", {len(self.rejects):,} passed over" if self.rejects else ""
        return f"{counted(len(self.pictures), 'picture')} of {self.dataset}{passed}: {self.file}"


def show_samples(
    workspace: Workspace,
    source: str | None,
    options: SampleOptions,
    *,
    out: Path | None = None,
    data_dir: str | None = None,
    columns: Columns = AS_NAMED,
    note: Callable[[str], None] = lambda text: None,
) -> DrawnPictures:
    """Draw random pictures with their labels.

    Files that cannot become pictures are passed over and reported; others take their places.

    Parameters
    ----------
    workspace : Workspace
    source : str or None
        Anything that `extract` takes, or else the name of a data set; None is the data set extracted last.
    options : SampleOptions
    out : Path, optional
        The PNG file to write; None makes a run folder with the file and a run.json.
    data_dir : str, optional
        Where TensorFlow Datasets keeps its data.
    columns : Columns, optional
        How the source calls its columns.
    note : callable (line of text), optional

    Raises
    ------
    UserError
        If there is no such source, part or augmentation, or no picture in it.
    """
    rows, across = options.shape
    views = options.views
    if options.seed < 0:
        raise UserError(f"Expected --seed of 0 or more, received {options.seed}.")
    if out is not None and out.suffix.lower() != ".png":
        raise UserError(f"Expected --out to be a file that ends in .png, received {out}. Name it so.")
    name, manifest = _find(workspace, source, data_dir, columns, note)
    candidates = _candidates(manifest, options.part, name)
    count = rows if views else rows * across
    shown: list[dict[str, str]] = []
    cells: list[Cell] = []
    rejects: list[Reject] = []
    read = files.reader(manifest)
    for row in np.random.default_rng(options.seed).permutation(candidates).tolist():
        if len(shown) == count:
            break
        path, label = manifest.paths[row], manifest.label[row]
        text = manifest.classes[label] if label >= 0 else ""
        try:
            cells += _cells(read(row), text or "no label", path, views)
        except (OSError, RejectedImage) as error:
            reason = f"unreadable: {error.strerror}" if isinstance(error, OSError) else str(error)
            rejects.append(Reject(None, path, reason, "show"))
            continue
        shown.append({"path": path, "label": text})
    if not shown:
        if gone := left(name, manifest):
            raise UserError(f"Expected pictures, but {gone}.")
        first = f", the first {rejects[0].path!r} ({rejects[0].reason})" if rejects else ""
        raise UserError(f"Expected pictures in {name!r}, received {len(rejects)} files that are none{first}.")
    picture = picture_grid(cells, across, lines=2)
    if out is None:
        run = workspace.new_run("show")
        out = run / FILE
        record = {"command": "show", "parameters": asdict(options), "dataset": name, "root": manifest.root}
        write_file(out, picture)
        write_json(
            run / "run.json", {**record, "pictures": shown, "versions": versions("matplotlib", "pillow")}
        )
    else:
        make_folder(out.absolute().parent)
        write_file(out, picture)
    return DrawnPictures(out, name, shown, rejects)


def _find(
    workspace: Workspace,
    source: str | None,
    data_dir: str | None,
    columns: Columns,
    note: Callable[[str], None],
) -> tuple[str, Manifest]:
    """Name and list a source, or a data set that was extracted."""
    if source is not None and exists(Path(source)):
        opened = open_source(workspace, Path(source), data_dir=data_dir, columns=columns, note=note)
        return opened.name, opened.scan().manifest
    name = source or workspace.state().get("dataset")
    if not name:
        raise UserError(
            f"Expected something to show: a folder, a table, an archive or tfds:NAME. Nothing was extracted in "
            f"{workspace.root} yet. Run `python cli.py show FOLDER/`."
        )
    known = workspace.datasets()
    if name not in known:
        listed = f" The data sets are: {', '.join(known)}." if known else ""
        raise UserError(
            f"Expected a folder, a table, an archive, tfds:NAME or the name of a data set, received {name!r}: there "
            f"is no such file or folder.{listed}"
        )
    return name, workspace.manifest(name)


def _candidates(manifest: Manifest, part: str | None, name: str) -> np.ndarray:
    if part is None:
        return np.arange(len(manifest))
    found = np.flatnonzero(manifest.split == SPLITS.index(part))
    if not len(found):
        there = [each for each in SPLITS[1:] if (manifest.split == SPLITS.index(each)).any()]
        listed = f"only a {' and a '.join(there)} part" if there else "no parts of its own"
        raise UserError(
            f"Expected pictures in the {part} part of {name!r}, which has {listed}. Leave out --split."
        )
    return found


def _cells(data: bytes, label: str, path: str, views: list[View]) -> list[Cell]:
    """The plain picture, and its views."""
    decoding, key = Decoding(), hashlib.sha256(data).digest()
    cells = [Cell(decode(data, _SIDE, decoding), f"{printable(label, FILE_NAME)}\n{file_name(path)}")]
    if views:  # of one policy, so that one larger picture serves all
        larger = decode(data, views[0].source_size(_SIDE), decoding)
        cells += [Cell(view.apply(larger, _SIDE, key), f"{view.policy} {view.number}") for view in views]
    return cells


def run(options: ShowOptions, say: Callable[[str], None]) -> DrawnPictures:
    """Answer the command line."""
    return show_samples(
        Workspace.locate(options.workspace),
        options.source,
        options.sample,
        out=Path(options.out) if options.out else None,
        data_dir=options.data_dir,
        columns=options.columns,
        note=say,
    )
