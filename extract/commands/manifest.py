"""`manifest`: what a data set holds - files, classes, splits, duplicates, conflicts - without embedding it."""

import csv
import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from cache.storage.files import write_file
from cache.storage.rejects import Reject
from cache.workspace import Workspace
from extract.commands.options import ManifestOptions
from extract.embedding.progress import Progress, bar
from extract.machine import usable_cores
from extract.sources import parquet
from extract.sources.source import open_source, previous_manifests
from extract.sources.table import delimiter, is_table

_ROWS_PER_TASK = 512  # enough files that handing them to a thread costs nothing beside reading them


@dataclass(frozen=True)
class Survey:
    """A data set's manifest with every readable file hashed, and what could not be read."""

    dataset: str
    manifest: Manifest
    rejects: list[Reject]

    def to_json(self) -> dict:
        """Counts by class, and the files in question."""
        manifest = self.manifest
        keys = manifest.key[manifest.hashed]
        counts = np.bincount(manifest.label[manifest.label >= 0], minlength=len(manifest.classes))
        return {
            "dataset": self.dataset,
            "files": len(manifest) + len(self.rejects),
            "classes": {name: int(n) for name, n in zip(manifest.classes, counts, strict=True)},
            "splits": {SPLITS[code]: int((manifest.split == code).sum()) for code in (1, 2, 3)},
            "duplicates": len(keys) - len(np.unique(keys.view("V32"))),
            "conflicts": [manifest.paths[i] for i in np.flatnonzero(manifest.conflicts())],
            "rejects": [{"path": reject.path, "reason": reject.reason} for reject in self.rejects],
        }

    def to_text(self) -> str:
        """The same for people."""
        facts = self.to_json()
        lines = [f"{self.dataset}: {facts['files']:,} files in {len(facts['classes']):,} classes"]
        lines += [f"  {count:>9,}  {name}" for name, count in facts["classes"].items()]
        lines += [f"  {count:>9,}  in the {name} part" for name, count in facts["splits"].items() if count]
        lines.append(
            f"{facts['duplicates']:,} are copies of another, {len(facts['conflicts']):,} lie in two classes, "
            f"{len(facts['rejects']):,} cannot be read"
        )
        return "\n".join(lines)

    def write_table(self, out: Path) -> None:
        """Write a table that `extract` reads again: path, label, split, key (hex), and the manifest's columns.

        Paths are relative to the table's folder where they lie in it, else absolute. Text is UTF-8; bytes of a
        name that are not stay as they are. The suffix .parquet gives a Parquet file.
        """
        manifest, text = self.manifest, io.StringIO(newline="")
        root, folder = os.path.abspath(manifest.root), os.path.abspath(out.parent)
        prefix = os.path.relpath(root, folder) if Path(root).is_relative_to(folder) else root
        prefix = "" if prefix == os.curdir else prefix
        paths = [os.path.join(prefix, path) for path in manifest.paths]
        labels = [manifest.classes[label] if label >= 0 else "" for label in manifest.label]
        splits = [SPLITS[code] for code in manifest.split]
        keys = [key.tobytes().hex() for key in manifest.key]
        names = ["path", "label", "split", "key", *manifest.columns]
        columns = [paths, labels, splits, keys, *manifest.columns.values()]
        if out.suffix.lower() in parquet.SUFFIXES:
            write_file(out, parquet.to_parquet(out, names, columns))
            return
        table = csv.writer(text, delimiter=delimiter(out))
        table.writerow(names)
        table.writerows(zip(*columns, strict=True))
        write_file(out, text.getvalue().encode("utf-8", "surrogateescape"))


def survey(
    workspace: Workspace,
    source: Path,
    name: str | None,
    progress: Progress,
    data_dir: str | None = None,
    out: Path | None = None,
    *,
    force: bool = False,
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
    opened = open_source(workspace, source, data_dir=data_dir, note=progress.note)
    dataset = name or opened.name
    found = opened.scan(previous_manifests(workspace, dataset, opened.path))
    for note in found.notes:
        progress.note(note)
    rejects = found.rejects + hash_missing(found.manifest, usable_cores())
    workspace.save_manifest(dataset, found.manifest)
    workspace.remember(dataset=dataset)
    surveyed = Survey(dataset, found.manifest, rejects)
    if out is not None:
        surveyed.write_table(out)
        progress.note(f"{len(found.manifest):,} rows written to {out}")
    return surveyed


def _check_table(out: Path, force: bool) -> None:
    if not is_table(out):
        raise UserError(
            f"Expected --out to be a file that ends in .csv, .tsv or .parquet, received {out}. Name it so."
        )
    if out.exists() and not force:
        raise UserError(f"Expected a new file, received {out}, which exists. Pass --force to replace it.")


def hash_missing(manifest: Manifest, workers: int) -> list[Reject]:
    """Read the files that have no key yet and fill in their keys, in place.

    Parameters
    ----------
    manifest : Manifest
    workers : int
        Threads; more than cores where the disk is slow or far away.

    Returns
    -------
    rejects : list of Reject
        Files that could not be read, in manifest order; their keys stay zero.
    """
    rows = np.flatnonzero(~manifest.hashed).tolist()
    tasks = [rows[start : start + _ROWS_PER_TASK] for start in range(0, len(rows), _ROWS_PER_TASK)]
    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(lambda task: _hash_rows(manifest, task), tasks)
        return [reject for rejects in done for reject in rejects]


def _hash_rows(manifest: Manifest, rows: list[int]) -> list[Reject]:
    rejects = []
    for row in rows:
        path = manifest.paths[row]
        digest = hashlib.sha256()
        # One read for a picture of the expected size, and one that finds the end; bounded for any other file.
        block = min(int(manifest.size[row]) + 1, 1 << 20)
        try:
            with open(os.path.join(manifest.root, path), "rb", buffering=0, opener=_open_at_once) as file:
                while data := file.read(block):
                    digest.update(data)
        except OSError as error:
            rejects.append(Reject(None, path, f"unreadable: {error.strerror}", "scan"))
            continue
        manifest.key[row] = np.frombuffer(digest.digest(), np.uint8)
    return rejects


def _open_at_once(path: str, flags: int) -> int:
    return os.open(
        path, flags | getattr(os, "O_NONBLOCK", 0)
    )  # never waits for a pipe that took the file's place


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
    )
