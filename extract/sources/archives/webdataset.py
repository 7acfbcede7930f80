"""WebDataset's tars -> the manifest of their samples, which stay where they are: an address leads into the tar.

A sample is what shares a name up to the first dot, in any order: `0001.jpg` with `0001.cls`, or with `0001.json`.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

from cache.errors import UserError
from cache.storage.rejects import Reject
from extract.settings import Columns
from extract.sources.places.packed import stamp
from extract.sources.places.tar import Member, members
from extract.sources.samples import Samples, parts_of
from extract.sources.scan import Scan, shown
from extract.sources.walk import is_ignored

NAMES = "classnames.txt"  # a name a line, where numbers stand for classes
_PICTURES = frozenset(
    [
        "jpg",
        "jpeg",
        "jpe",
        "png",
        "webp",
        "gif",
        "bmp",
        "tif",
        "tiff",
        "ppm",
        "pgm",
        "avif",
        "heic",
        "heif",
        "img",
    ]
)
_FIELDS = ("label", "cls", "class", "category")  # of .json
_LABEL, _RECORD = "cls", "json"
_LARGE = 2**20  # bytes that no label has
_SOME = 64  # members by which a tar is told


@dataclass
class _Sample:
    pictures: list[Member] = field(default_factory=list)
    beside: dict[str, Member] = field(default_factory=dict)  # by suffix


def is_webdataset(path: Path, columns: Columns) -> bool:
    """Tell by its first members whether a tar holds samples with labels; False for what cannot be read."""
    marks = {_LABEL, _RECORD, columns.label_column}
    try:
        with path.open("rb") as file:
            names = [each.name for each in islice(members(file), _SOME)]
    except (tarfile.TarError, OSError):
        return False
    pictures = {_key(name)[0] for name in names if _is_picture(name)}
    return any(key in pictures and suffix in marks for key, suffix in map(_key, names))


def read_samples(root: str, table: str, files: Sequence[str], columns: Columns) -> Scan:
    """List the pictures in one tar or several, in their order, without reading any.

    Parameters
    ----------
    root, table, files, columns
        As of `extract.sources.tables.embedded.read_parquet`. `label_column` is a suffix, or a field of the .json.

    Raises
    ------
    UserError
        If a tar is damaged, compressed or without pictures, or no sample has a label.
    """
    samples, rejects, ignored = Samples(), list[Reject](), 0
    names = _class_names(root, files)
    for file, part in zip(files, parts_of(files), strict=True):
        path = Path(root, file)
        try:
            with path.open("rb") as opened:
                changed = stamp(os.fstat(opened.fileno()))
                found, left, refused = _grouped(members(opened))
                ignored += left
                rejects += [Reject(None, f"{file}/{name}", reason, "scan") for name, reason in refused]
                for key, sample in found.items():
                    if not sample.pictures:
                        rejects.append(Reject(None, f"{file}/{key}", "a sample without a picture", "scan"))
                        continue
                    label = _label(opened, f"{path}/{key}", sample, columns.label_column, names)
                    for picture in sample.pictures:
                        samples.paths.append(f"{file}/{picture.name}")
                        samples.labels.append(label)
                        samples.splits.append(part)
                        samples.stats.append((picture.size, changed))
        except (tarfile.TarError, OSError) as error:
            raise UserError(
                f"Expected a whole tar, not compressed, in {path}, but: {error}. Get it again; unpack a compressed one."
            ) from error
    if not any(samples.labels):
        wanted = (
            f"with {columns.label_column!r}" if columns.label_column else "with .cls, or .json with label,"
        )
        raise UserError(
            f"Expected samples {wanted} beside their pictures in {Path(root, files[0])}, received "
            f"{len(samples.paths):,} pictures without. Name what has the class with --label-column."
        )
    return samples.scan(root, table, rejects, ignored=ignored)


def _grouped(found: Iterable[Member]) -> tuple[dict[str, _Sample], int, list[tuple[str, str]]]:
    """Samples by key, how many names are ignored, and what is no file of its own with the reason."""
    samples: dict[str, _Sample] = {}
    ignored, refused = 0, []
    for each in {
        each.name: each for each in found
    }.values():  # of two with one name the later holds, as in tar
        if any(map(is_ignored, each.name.split("/"))):
            ignored += 1
        elif each.refused:
            refused.append((each.name, each.refused))
        else:
            key, suffix = _key(each.name)
            sample = samples.setdefault(key, _Sample())
            if _is_picture(each.name):
                sample.pictures.append(each)
            else:
                sample.beside[suffix] = each
    return samples, ignored, refused


def _label(file: IO[bytes], where: str, sample: _Sample, column: str | None, names: Sequence[str]) -> str:
    """The class of a sample, empty for none."""
    if member := sample.beside.get(column or _LABEL):
        label = _text(file, where, member).strip()
    elif record := sample.beside.get(_RECORD):
        try:
            said = json.loads(_text(file, where, record))
        except ValueError as error:
            raise UserError(f"Expected JSON in {where}.json, but: {error}. Make the tar again.") from error
        fields = said if isinstance(said, dict) else {}
        value = next((fields[name] for name in ([column] if column else _FIELDS) if name in fields), None)
        if isinstance(value, dict | list):
            raise UserError(
                f"Expected a text or a number as the class in {where}.json, received {shown([str(value)[:60]])}. Name "
                "another field with --label-column."
            )
        label = "" if value is None else str(value).strip()
    else:
        return ""
    if names and label.isdecimal():
        if int(label) >= len(names):
            raise UserError(
                f"Expected class numbers below {len(names)}, by {NAMES}, received {label} in {where}. Complete {NAMES}."
            )
        return names[int(label)]
    return label


def _text(file: IO[bytes], where: str, member: Member) -> str:
    file.seek(member.offset)
    data = file.read(min(member.size, _LARGE))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"Expected UTF-8 text in {member.name!r} of {where}, but: {error}.") from error


def _class_names(root: str, files: Sequence[str]) -> list[str]:
    """The lines of the file that names the classes, beside the tars or above them."""
    for folder in dict.fromkeys([*(os.path.dirname(file) for file in files), ""]):
        place = Path(root, folder, NAMES)
        if place.is_file():
            return [line.strip() for line in place.read_text("utf-8").splitlines() if line.strip()]
    return []


def _key(name: str) -> tuple[str, str]:
    """What a sample's members share, and the rest behind the first dot of the file's name."""
    folder, slash, file = name.rpartition("/")
    start, _, suffix = file.partition(".")
    return folder + slash + start, suffix.lower()


def _is_picture(name: str) -> bool:
    return name.rpartition(".")[2].lower() in _PICTURES
