"""scores.h5: what a run says of each picture by a model that had not trained on it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.storage.hdf5 import UNREADABLE, pack, read_arrays, unpack, write_arrays
from cache.storage.keys import KEY_BYTES
from classify.data.division import Division
from classify.runs.folder import OWN_MODEL
from classify.runs.inputs import inputs_of
from classify.runs.record import record_of

FORMAT, FILE = 1, "scores.h5"
PARTS = ("train", "val", "test")
_COLUMNS = {"key": "u1", "label": "<i4", "part": "u1", "fold": "<i2", "group": "<i4", "probability": "<f4"}


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities (n, C) of rows (n,) of a manifest, by models that had not trained on them; they are of one part."""

    part: str  # of PARTS
    rows: NDArray[np.intp]
    probability: NDArray[np.floating]
    fold: NDArray[np.integer] | None = None  # (n,), in cross-validation


@dataclass(frozen=True, eq=False)
class Scores:
    """Probabilities of n pictures of a data set, in the order of its manifest.

    Those of training pictures are out of fold: of the setting that was chosen, by the model of the search's own
    cross-validation that had not seen the picture, made probabilities by the temperature of the head. Where the
    cross-validation was repeated they are the mean of the repeats, and `fold` is that of the first. Those of validating
    and tested pictures are the head's own. A class that a fold lacked has probability 0 there.
    """

    classes: tuple[str, ...]  # K: the head's, in its order, then those that none but held-out pictures have
    key: NDArray[np.uint8]  # (n, 32)
    path: tuple[str, ...]  # n
    label: NDArray[np.int32]  # (n,) index into classes
    part: NDArray[np.uint8]  # (n,) index into PARTS
    fold: NDArray[np.int16]  # (n,), -1 outside cross-validation
    group: NDArray[np.int32]  # (n,) pictures with the same number are near copies, or were kept together
    probability: NDArray[np.float32]  # (n, K)

    @classmethod
    def of(cls, division: Division, classes: Sequence[str], answers: Sequence[Answers]) -> Scores:
        """Bring together what models say of a divided data set, each with the columns `classes`."""
        rows = np.concatenate([each.rows for each in answers])
        order = np.argsort(rows, kind="stable")
        rows, manifest = rows[order], division.data.manifest
        names = [*classes, *sorted({*division.names[rows].tolist()} - {*classes})]
        place = {name: number for number, name in enumerate(names)}
        codes = np.array([place.get(name, -1) for name in manifest.classes], np.int32)
        probability = np.zeros((len(rows), len(names)), np.float32)
        probability[:, : len(classes)] = np.concatenate([each.probability for each in answers])[order]
        part = np.concatenate([np.full(len(each.rows), PARTS.index(each.part)) for each in answers])
        fold = [np.full(len(each.rows), -1) if each.fold is None else each.fold for each in answers]
        return cls(
            tuple(names),
            manifest.key[rows],
            tuple(manifest.paths[row] for row in rows.tolist()),
            codes[manifest.label[rows]],
            part[order].astype(np.uint8),
            np.concatenate(fold)[order].astype(np.int16),
            division.split.group[rows],
            probability,
        )

    def __len__(self) -> int:
        return len(self.path)


def write(folder: Path, scores: Scores) -> None:
    """Write scores.h5 into the folder of a run, in a single step."""
    arrays = {name: np.ascontiguousarray(getattr(scores, name), kind) for name, kind in _COLUMNS.items()}
    for name in ("classes", "path"):
        arrays[f"{name}_bytes"], arrays[f"{name}_offset"] = pack(getattr(scores, name))
    write_arrays(folder / FILE, FORMAT, arrays)


def load(folder: Path) -> Scores:
    """Read scores.h5 of a run.

    Raises
    ------
    UserError
        When the run has none, as those of older versions, or it is damaged.
    """
    path = folder / FILE
    try:
        arrays, sealed = read_arrays(path, FORMAT, _again(folder))
        if not sealed:
            raise ValueError("it has no SHA-256 of its content")
        classes, paths = (
            unpack(arrays[f"{name}_bytes"], arrays[f"{name}_offset"]) for name in ("classes", "path")
        )
        columns = {name: arrays[name].astype(kind, copy=False) for name, kind in _COLUMNS.items()}
        _check(columns, len(classes), len(paths))
        return Scores(classes=tuple(classes), path=tuple(paths), **columns)
    except FileNotFoundError as error:
        if record_of(folder).get("command") not in ("fit-head", *OWN_MODEL):
            raise UserError(
                f"Expected a run of fit-head, finetune or baseline, whose answers to each picture are in {FILE}, "
                f"received {folder}. Name one with --run."
            ) from error
        raise UserError(
            f"Expected {FILE} in {folder}, with its answers to each picture, found none: an older version made this "
            f"run, or it is not finished. {_again(folder)}"
        ) from error
    except UNREADABLE as error:
        raise UserError(
            f"Expected the answers of a run to each picture in {path}, but: {error}. {_again(folder)}"
        ) from error


def _check(columns: dict[str, NDArray], classes: int, n: int) -> None:
    shapes = {"key": (n, KEY_BYTES), "probability": (n, classes)}
    for name, column in columns.items():
        if column.shape != shapes.get(name, (n,)):
            raise ValueError(f"{n} paths with {name} of shape {column.shape}")
    label, part, probability = columns["label"], columns["part"], columns["probability"]
    if n and not (0 <= label.min() and label.max() < classes and part.max() < len(PARTS)):
        raise ValueError("a label or a part that there is not")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("a probability that is none")


def _again(folder: Path) -> str:
    """Which command makes a run of this kind, with all it is made of now."""
    record = record_of(folder)
    command, start = record.get("command", "fit-head"), (record.get("start") or {}).get("run")
    words = ["--run", Path(start).name] if start else ["--dataset", record.get("dataset") or "NAME"]
    if command == "fit-head" and record:
        words += ["--space", ",".join(each.space.id[:12] for each in inputs_of(record))]
    return f"Run `{shlex.join([command, *words])}` to make a run that has it."
