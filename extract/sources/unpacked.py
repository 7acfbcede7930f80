"""Folders that archives, tfds data sets and arrays are unpacked into, each once."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cache.storage.files import (
    TEMPORARY,
    locked,
    make_folder,
    sync_folder,
    temporary_name,
    write_error,
)
from cache.storage.json_file import DamagedJson, check, read_json, write_json
from cache.workspace import Workspace

FOLDER = "sources"  # in the workspace
TABLE = "labels.csv"  # of the pictures in a folder that coldframe wrote
ARRAYS = "arrays"  # what is said of a folder whose pictures came from `add_arrays`


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
    marker = marker_of(folder)
    make_folder(folder.parent)
    with locked(folder.parent):
        said = read_marker(marker) if folder.is_dir() else None
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
            write_json(marker, said)
        except OSError as error:
            raise write_error(folder, error) from error
        finally:
            for left in folder.parent.glob(f"{TEMPORARY}*"):
                _remove(left)
        return json.loads(json.dumps(said))


def remove(folder: Path) -> None:
    """Delete a folder in `sources/`, and what is said of it."""
    marker_of(folder).unlink(missing_ok=True)
    _remove(folder)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def from_arrays(folder: Path) -> bool:
    """Tell whether a folder holds pictures that came as arrays."""
    return folder.parent.name == FOLDER and ARRAYS in (read_marker(marker_of(folder)) or {}).get("of", {})


def marker_of(folder: Path) -> Path:
    """Where it is said what a folder in `sources/` holds."""
    return folder.with_name(f"{folder.name}.json")


def read_marker(marker: Path) -> dict[str, Any] | None:
    """Return what is said of an unpacked folder; None where nothing is, or nothing that can be read."""
    try:
        return check(read_json(marker), of=dict)
    except (OSError, DamagedJson):
        return None
