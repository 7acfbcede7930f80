"""What `extract` may be pointed at -> the folder or the table to scan; archives and the like are unpacked once."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.files import (
    TEMPORARY,
    locked,
    make_folder,
    sync_folder,
    temporary_name,
    write_error,
    write_file,
)
from cache.storage.rejects import Reject
from cache.workspace import Workspace
from extract.scan import default_name, scan
from extract.sources import archive, tfds
from extract.sources.scan import Scan

FOLDER = "sources"  # in the workspace
ARRAYS = "arrays"  # what is said of a folder whose pictures came from `add_arrays`


@dataclass(frozen=True)
class Source:
    """A folder or a table to scan, the name of its data set, and what was left behind in unpacking it."""

    path: Path
    name: str
    ignored: int = 0
    rejects: list[Reject] = field(default_factory=list)

    def scan(self, previous: Sequence[Manifest] = ()) -> Scan:
        """List the samples (see `extract.scan.scan`); what was left behind counts as seen."""
        found = scan(self.path, previous)
        return replace(found, ignored=found.ignored + self.ignored, rejects=self.rejects + found.rejects)


def open_source(
    workspace: Workspace,
    source: Path,
    *,
    data_dir: str | None = None,
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
    note : callable (line of text), optional

    Raises
    ------
    UserError
        If the source cannot be unpacked, or `data_dir` is given for another kind.
    """
    if tfds.is_tfds(source):
        return _open_tfds(workspace, source, data_dir, note)
    if data_dir is not None:
        raise UserError(
            f"Expected tfds:NAME with --data-dir, which is where TensorFlow Datasets keeps its data; received {source}."
            " Leave --data-dir out."
        )
    if archive.is_archive(source):
        return _open_archive(workspace, source, note)
    return Source(source, default_name(source))


def exists(source: Path) -> bool:
    """Tell whether there is anything to open, as far as that can be seen without trying."""
    return tfds.is_tfds(source) or source.exists()


def origin(path: Path) -> Path:
    """Where a scanned folder or table comes from: the archive it was unpacked from, or itself.

    Of arrays it is the folder of sources: other arrays of the same name are the same data set, changed.
    """
    if from_arrays(path.parent):
        return path.parent.parent.resolve()
    if path.parent.name == FOLDER:
        said = _read_marker(_marker(path)) or {}
        if "archive" in said.get("of", {}):
            return Path(said["of"]["archive"])
    return path.resolve()


def from_arrays(folder: Path) -> bool:
    """Tell whether a folder holds pictures that came as arrays."""
    return folder.parent.name == FOLDER and ARRAYS in (_read_marker(_marker(folder)) or {}).get("of", {})


def remove(folder: Path) -> None:
    """Delete a folder in `sources/`, and what is said of it."""
    _marker(folder).unlink(missing_ok=True)
    _remove(folder)


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
    return Source(folder / tfds.TABLE, name)


def folder_for(workspace: Workspace, name: str, identity: str) -> Path:
    """Name the folder in `sources/` of what came from `identity`."""
    short = hashlib.sha256(os.fsencode(identity)).hexdigest()[:8]
    quoted = quote(name, safe=" ", errors="surrogateescape")[:100]
    return workspace.create().root / FOLDER / f"{quoted.lstrip('.')}-{short}"


def once(
    folder: Path, serves: Callable[[dict[str, Any]], bool], fill: Callable[[Path], dict[str, Any]]
) -> dict[str, Any]:
    """Return what is said of a folder in `sources/` that serves, after making it if there is none.

    Parameters
    ----------
    folder : Path
    serves : callable
        Tells by what is said of the folder whether it will do.
    fill : callable
        Writes into an empty folder, and returns what is to be said of it, as JSON; "of" names where it came from.
    """
    marker = _marker(folder)
    make_folder(folder.parent)
    with locked(folder.parent):
        said = _read_marker(marker) if folder.is_dir() else None
        if said is not None and serves(said):
            return said
        for left in folder.parent.glob(f"{TEMPORARY}*"):  # nobody else unpacks while the lock is held
            _remove(left)
        temporary = temporary_name(folder)
        try:
            make_folder(temporary)
            said = fill(temporary)
            if hasattr(os, "sync"):
                os.sync()  # one call for all the files; the marker must not outlive a power cut without them
            marker.unlink(missing_ok=True)
            if folder.exists():
                folder.replace(temporary_name(folder))
            temporary.replace(folder)
            sync_folder(folder.parent)
            # Plain JSON in and out, so that a first and a second run see the very same.
            write_file(marker, json.dumps(said, indent=1).encode())
        except OSError as error:
            raise write_error(folder, error) from error
        finally:
            for left in folder.parent.glob(f"{TEMPORARY}*"):
                _remove(left)
        return json.loads(json.dumps(said))


def _marker(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _read_marker(marker: Path) -> dict[str, Any] | None:
    """Return what is said of an unpacked folder; None where nothing is, or nothing that can be read."""
    try:
        said = json.loads(marker.read_bytes())
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
