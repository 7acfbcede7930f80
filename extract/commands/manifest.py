"""`manifest`: what a data set holds - files, classes, splits, duplicates, conflicts - without embedding it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cache.errors import UserError
from cache.frame import TEXT, change_texts
from cache.manifest import SPLITS, Manifest
from cache.storage.files import write_file
from cache.storage.rejects import Reject
from cache.text import counted, defused, on_one_line
from cache.workspace import Workspace
from extract.commands.options import ManifestOptions
from extract.embedding.progress import Progress, bar
from extract.machine import usable_cores
from extract.pictures import files
from extract.pictures.decoding import RejectedImage, check_start
from extract.settings import AS_NAMED, Columns
from extract.sources.places.place import soon
from extract.sources.source import open_source
from extract.sources.tables import parquet
from extract.sources.tables.table import delimiter, is_table

if TYPE_CHECKING:
    import pandas as pd

_ROWS_PER_TASK = 512  # enough files that handing them to a thread costs nothing beside reading them


@dataclass(frozen=True)
class Survey:
    """A data set's pictures, hashed, as far as their first bytes tell; and all other files."""

    dataset: str
    manifest: Manifest
    rejects: list[Reject]

    def to_json(self) -> dict:
        """Counts by class, and the files in question."""
        manifest = self.manifest
        keys = manifest.key[manifest.hashed]
        return {
            "dataset": self.dataset,
            "files": len(manifest) + len(self.rejects),
            "classes": manifest.counts(),
            "splits": {SPLITS[code]: int((manifest.split == code).sum()) for code in (1, 2, 3)},
            "duplicates": len(keys) - len(np.unique(keys.view("V32"))),
            "conflicts": [manifest.paths[i] for i in np.flatnonzero(manifest.conflicts()).tolist()],
            "rejects": [reject.to_json() for reject in self.rejects],
        }

    def to_text(self) -> str:
        """The same for people."""
        facts = self.to_json()
        pictures = counted(len(self.manifest), "picture")
        classes = counted(len(facts["classes"]), "class", "classes")
        lines = [f"{on_one_line(self.dataset)}: {counted(facts['files'], 'file')}, {pictures} in {classes}"]
        lines += [f"  {count:>9,}  {on_one_line(name)}" for name, count in facts["classes"].items()]
        lines += [f"  {count:>9,}  in the {name} part" for name, count in facts["splits"].items() if count]
        lines.append(
            f"copies of another: {facts['duplicates']:,}; in two classes: {len(facts['conflicts']):,}; "
            f"no pictures, or unreadable: {len(facts['rejects']):,}"
        )
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Return the samples; see `Manifest.to_frame`. For the rejects see `cache.storage.rejects.to_frame`."""
        return self.manifest.to_frame()

    def write_table(self, out: Path) -> None:
        """Write a table that `extract` reads again: path, label, split, key (hex), and the manifest's columns.

        Paths are relative to the table's folder where they lie in it, else absolute. Text is UTF-8; bytes of a
        name that are not stay as they are. The suffix .parquet gives a Parquet file.
        """
        manifest = self.manifest
        root, folder = os.path.abspath(manifest.root), os.path.abspath(out.parent)
        prefix = os.path.relpath(root, folder) if Path(root).is_relative_to(folder) else root
        prefix = "" if prefix == os.curdir else prefix
        found = replace(manifest, paths=[os.path.join(prefix, path) for path in manifest.paths]).to_frame()
        table = found.drop(columns=["size", "mtime"]).astype(TEXT).fillna("")
        table.columns = ["path", "label", "split", "key", *manifest.columns]
        if out.suffix.lower() in parquet.SUFFIXES:
            write_file(out, parquet.to_parquet(out, table))
            return
        text = change_texts(table, defused).to_csv(index=False, sep=delimiter(out), lineterminator="\r\n")
        write_file(out, text.encode("utf-8", "surrogateescape"))


def survey(
    workspace: Workspace,
    source: Path,
    name: str | None,
    progress: Progress,
    data_dir: str | None = None,
    out: Path | None = None,
    *,
    force: bool = False,
    columns: Columns = AS_NAMED,
) -> Survey:
    """Scan and hash a source of pictures, and keep the manifest, so that `extract` need not hash again.

    `out` is a table to write, see `Survey.write_table`; with `force` it may be there already.

    Raises
    ------
    UserError
        For a source that is not a data set, or an `out` that is there or is no table by its suffix.
    """
    if out is not None:
        _check_table(out, force)
    opened = open_source(workspace, source, data_dir=data_dir, columns=columns, note=progress.note)
    dataset = name or opened.name
    found = opened.scan_again(workspace, dataset, progress.note)
    others = hash_missing(found.manifest) + find_other_files(found.manifest)
    workspace.save_manifest(dataset, found.manifest)
    workspace.remember(dataset=dataset)
    no_picture = {reject.path for reject in others}
    pictures = found.manifest.select(
        np.array([path not in no_picture for path in found.manifest.paths], bool)
    )
    surveyed = Survey(dataset, pictures, found.rejects + others)
    if out is not None:
        surveyed.write_table(out)
        progress.note(f"{counted(len(pictures), 'row')} written to {out}")
    return surveyed


def _check_table(out: Path, force: bool) -> None:
    if not is_table(out):
        raise UserError(
            f"Expected --out to be a file that ends in .csv, .tsv or .parquet, received {out}. Name it so."
        )
    if out.exists() and not force:
        raise UserError(f"Expected a new file, received {out}, which exists. Pass --force to replace it.")


def hash_missing(manifest: Manifest, workers: int | None = None) -> list[Reject]:
    """Read the files that have no key yet and fill in their keys, in place.

    Parameters
    ----------
    manifest : Manifest
    workers : int, optional
        Threads, more than cores where the disk is slow or far away; default: the cores this process may use.

    Returns
    -------
    rejects : list of Reject
        Files that could not be read, in manifest order; their keys stay zero.
    """

    def take(row: int) -> None:
        manifest.key[row] = bytearray(files.hashed(files.address(manifest, row)).key)

    rows = np.flatnonzero(~manifest.hashed)
    enough = soon(manifest.root, (manifest.paths[int(row)] for row in rows), manifest.size[rows])
    try:
        return _each(manifest, rows, take, workers)
    finally:
        enough()


def find_other_files(manifest: Manifest) -> list[Reject]:
    """Name the hashed files whose first bytes are no picture's, in manifest order."""

    def look(row: int) -> None:
        check_start(files.first_bytes(files.address(manifest, row)))

    return _each(manifest, np.flatnonzero(manifest.hashed), look)


def _each(
    manifest: Manifest, rows: np.ndarray, take: Callable[[int], None], workers: int | None = None
) -> list[Reject]:
    """Take these rows in threads, and return those that are refused."""

    def refused(task: np.ndarray) -> list[Reject]:
        rejects = []
        for row in task.tolist():
            try:
                take(row)
            except RejectedImage as error:
                rejects.append(Reject(None, manifest.paths[row], error.reason, "scan"))
        return rejects

    tasks = [rows[start : start + _ROWS_PER_TASK] for start in range(0, len(rows), _ROWS_PER_TASK)]
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        return [reject for rejects in pool.map(refused, tasks) for reject in rejects]


def run(options: ManifestOptions, say: Callable[[str], None]) -> Survey:
    """Answer the command line."""
    return survey(
        Workspace.locate(options.workspace),
        Path(options.source),
        options.name,
        bar(say),
        options.data_dir,
        Path(options.out) if options.out else None,
        force=options.force,
        columns=options.columns,
    )
