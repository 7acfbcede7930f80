"""What `extract` may be pointed at -> the folder or the table to scan; archives and the like are unpacked once."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.columns.texts import Texts
from cache.storage.rejects import Reject
from cache.storage.remote.address import address_of
from cache.workspace import Workspace
from extract.settings import AS_NAMED, Columns
from extract.sources import tfds
from extract.sources.archives import archive
from extract.sources.archives.webdataset import is_webdataset, read_samples
from extract.sources.folder import read_folder
from extract.sources.samples import UNKNOWN
from extract.sources.scan import Scan
from extract.sources.shards import PARQUET, TAR, shards
from extract.sources.tables.coco import is_coco, read_coco
from extract.sources.tables.embedded import holds_pictures, read_parquet
from extract.sources.tables.metadata import metadata_in, read_metadata
from extract.sources.tables.table import is_table, read_table
from extract.sources.unpacked import FOLDER, TABLE, folder_for, from_arrays, marker_of, once, read_marker

PART = "@"  # joins a data set's name and the part of it that `--shard i/n` extracted


@dataclass(frozen=True)
class Source:
    """A folder or a table to scan, the name of its data set, and what was left behind in unpacking it."""

    path: Path
    name: str
    ignored: int = 0
    rejects: list[Reject] = field(default_factory=list)
    columns: Columns = AS_NAMED

    def scan(self, previous: Sequence[Manifest] = ()) -> Scan:
        """List the samples (see the function `scan`); what was left behind counts as seen."""
        found = scan(self.path, previous, self.columns)
        return replace(found, ignored=found.ignored + self.ignored, rejects=self.rejects + found.rejects)

    def scan_again(
        self, workspace: Workspace, dataset: str, note: Callable[[str], None], *, rehash: bool = False
    ) -> Scan:
        """List the samples of a data set and tell its notes; keys that are known already are not computed again.

        Raises
        ------
        UserError
            As `scan`, and for the name of a data set that is another source's.
        """
        previous = previous_manifests(workspace, dataset, self.path)
        found = self.scan([] if rehash else list(previous.values()))
        for line in found.notes:
            note(line)
        return replace(found, before=previous.get(dataset))


def open_source(
    workspace: Workspace,
    source: Path,
    *,
    data_dir: str | None = None,
    columns: Columns = AS_NAMED,
    note: Callable[[str], None] = lambda text: None,
) -> Source:
    """Find what to scan: a folder or a table as it is; an archive or a `tfds:` data set unpacked in the workspace.

    Unpacking happens in a temporary folder that gets its name when it is complete, so that an interrupted one is
    begun again. It happens once: while the archive has its size and its time of change, it is not opened again.

    Parameters
    ----------
    workspace : Workspace
    source : Path
    data_dir : str, optional
        Where TensorFlow Datasets keeps its data; only for `tfds:`.
    columns : Columns, optional
        How a table, or what holds the pictures, calls its columns.
    note : callable (line of text), optional

    Raises
    ------
    UserError
        If the source cannot be unpacked, or `data_dir` is given for another kind.
    """
    if tfds.is_tfds(source):
        return _open_tfds(workspace, source, data_dir, note)
    if (address := address_of(source)) and (archive.suffix(source) or is_table(source) or is_coco(source)):
        raise UserError(
            f"Expected a folder of class folders at an address, received {address}. Copy tables and archives to this "
            "machine, and pass them from there."
        )
    if data_dir is not None:
        raise UserError(
            f"Expected tfds:NAME with --data-dir, which is where TensorFlow Datasets keeps its data; received {source}."
            " Leave --data-dir out."
        )
    if source.exists() and not (
        source.is_dir() or source.is_file()
    ):  # to open a pipe would be to wait for it
        raise UserError(
            f"Expected a folder, a table or an archive, received {source}, which is a pipe, a socket or a device. Save "
            "what comes from it as a file first."
        )
    if archive.is_archive(source) and not _is_samples(source, columns):
        return replace(_open_archive(workspace, source, note), columns=columns)
    return Source(source, default_name(source), columns=columns)


def _is_samples(source: Path, columns: Columns) -> bool:
    return archive.suffix(source).lower() == ".tar" and is_webdataset(source, columns)


def _open_archive(workspace: Workspace, source: Path, note: Callable[[str], None]) -> Source:
    try:
        status = source.stat()
    except OSError as error:
        raise UserError(f"Expected an archive in {source}, but: {error.strerror}. Check the path.") from error
    path = str(source.resolve())
    name = source.name[: -len(archive.suffix(source))] or source.name
    of = {"archive": path, "size": status.st_size, "mtime_ns": status.st_mtime_ns}

    def fill(folder: Path) -> dict[str, Any]:
        note(f"unpacking {source}, once")
        unpacked = archive.unpack(source, folder)
        rejects = [(reject.path, reject.reason) for reject in unpacked.rejects]
        return {"of": of, "ignored": unpacked.ignored, "rejects": rejects}

    folder = folder_for(workspace, name, path)
    said = once(folder, lambda said: said.get("of") == of, fill)
    rejects = [Reject(None, path, reason, "scan") for path, reason in said["rejects"]]
    return Source(folder, name, said["ignored"], rejects)


def _open_tfds(
    workspace: Workspace, source: Path, data_dir: str | None, note: Callable[[str], None]
) -> Source:
    name = tfds.default_name(source)
    where = os.path.abspath(data_dir) if data_dir else None

    def fill(folder: Path) -> dict[str, Any]:
        full_name, count = tfds.write_pictures(source, data_dir, folder, note)
        note(f"{count:,} pictures of {full_name} written to {workspace.root / FOLDER}, once")
        return {"of": {"tfds": full_name, "data_dir": where}}

    folder = folder_for(workspace, name, str(source))
    # Without --data-dir what was written serves, wherever it came from.
    once(folder, lambda said: where in (None, said.get("of", {}).get("data_dir")), fill)
    return Source(folder / TABLE, name)


def exists(source: Path) -> bool:
    """Tell whether there is anything to open, as far as that can be seen without trying."""
    return tfds.is_tfds(source) or bool(address_of(source)) or source.exists()


def scan(source: Path, previous: Sequence[Manifest] = (), columns: Columns = AS_NAMED) -> Scan:
    """List the samples in a folder of class folders, or in a table (see `read_table`), without opening any.

    Parquet files that hold the pictures, and WebDataset's tars, may be one file or a folder of them.

    In a folder, the class is the name of the first folder below the root; deeper folders belong to it. Where
    all folders of the root are called train, val or test (or training, valid, validation, dev, testing, in
    any case), and there are two of them or one for training, they give the split and the class is the next
    level. A root that holds one folder, which holds folders (and licences or notes, but no picture), is an
    unpacked archive: classes are read from there.

    Links are followed. Every folder is read once however many links lead to it, real folders first; so links
    cannot loop. Only regular files are samples, whatever their suffix.

    Parameters
    ----------
    source : Path
        The folder, or a .csv, .tsv, .parquet or .tar file.
    previous : sequence of Manifest
        Earlier scans of this root (or of one that is gone: it may have been moved here). A file whose
        relative path, size and time of last change agree with one of them gets its key without being read.
    columns : Columns

    Returns
    -------
    found : Scan
        Its manifest is in the order of the paths, or of the table, with all-zero keys where a file must be read.

    Raises
    ------
    UserError
        If `source` is no folder and no table, or holds no class folders with files.
    """
    found = _listed(source, columns)
    for old in previous:
        _carry_keys(old, found.manifest)
    return found


def _listed(source: Path, columns: Columns) -> Scan:
    root, table, files = os.path.abspath(source.parent), source.name, [source.name]
    if source.is_dir():
        root, table, files = os.path.abspath(source), "", shards(source)
    kind = os.path.splitext(files[0])[1].lower() if files else ""
    if kind == TAR:
        return read_samples(root, table, files, columns)
    if kind in PARQUET and (not table or holds_pictures(source, columns)):
        return read_parquet(root, table, files, columns)
    if is_table(source):
        return read_table(source, columns)
    if is_coco(source):
        return read_coco(source)
    if not table and (metadata := metadata_in(source, columns)):
        return read_metadata(source, metadata, columns)
    if columns != AS_NAMED:
        raise UserError(
            f"Expected a table, metadata.csv beside pictures, or Parquet or WebDataset files with --path-column, "
            f"--label-column or --suffix, received {source}. Leave these out."
        )
    return read_folder(source)


def default_name(source: Path) -> str:
    """Name the data set after its folder, or after the file without its suffix."""
    if address := address_of(source):
        return address.rpartition("/")[2]
    return (
        source.stem
        if is_table(source) or is_coco(source) or archive.is_archive(source)
        else source.resolve().name
    )


def _carry_keys(old: Manifest, new: Manifest) -> None:
    """Copy the keys of files that are unchanged since an earlier scan."""
    # Names, sizes and times alone tell too little across data sets: archives often set all times alike.
    if old.root != new.root and os.path.exists(old.root) and not os.path.samefile(old.root, new.root):
        return
    found = Texts.of(old.paths).find(Texts.of(new.paths))
    here = np.flatnonzero(found >= 0)
    there = found[here]
    same = (old.size[there] == new.size[here]) | (new.size[here] == UNKNOWN)
    same &= old.mtime_ns[there] == new.mtime_ns[here]
    same &= ~new.key[here].any(axis=1)
    new.key[here] = np.where(same[:, None], old.key[there], new.key[here])
    new.size[here] = np.where(same, old.size[there], new.size[here])


def previous_manifests(workspace: Workspace, dataset: str, source: Path) -> dict[str, Manifest]:
    """Load what is known of the data set's files, whole and in parts, by name; refuse a name of another source's."""
    names = [n for n in workspace.datasets() if n == dataset or is_part(n, dataset)]
    manifests = {n: workspace.manifest(n) for n in names}
    here = origin(source)
    for manifest in manifests.values():
        known = origin(Path(manifest.root, manifest.table))
        whole = here.is_dir() or address_of(here)
        mine = (known, *known.parents) if whole and not manifest.table else (known,)
        if exists(known) and exists(here) and here not in mine:
            raise UserError(
                f"Expected data set {dataset!r} to be {known}, as before, received {here}. "
                "Pass --name to give the new one a name of its own."
            )
    return manifests


def is_part(name: str, dataset: str) -> bool:
    """Tell whether a data set is a part of another, as `--shard i/n` names it."""
    return re.fullmatch(re.escape(dataset + PART) + r"\d+-of-\d+", name) is not None


def origin(path: Path) -> Path:
    """Where a scanned folder or table comes from: the archive it was unpacked from, or itself.

    Of arrays it is the folder of sources: other arrays of the same name are the same data set, changed.
    """
    if address_of(path):
        return path
    if from_arrays(path.parent):
        return path.parent.parent.resolve()
    if path.parent.name == FOLDER:
        said = read_marker(marker_of(path)) or {}
        if "archive" in said.get("of", {}):
            return Path(said["of"]["archive"])
    return path.resolve()
