"""A data set divided for training and testing: parts, groups, weights, and what a person should know of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from cache.dataset import Block, Embedded
from cache.errors import UserError
from cache.space import TOP, Space
from cache.text import counted
from cache.workspace import Workspace, extract_command
from classify.data.groups import join, of_column
from classify.data.identity import data_hash, part_hash
from classify.data.labelled import Columns, Labelled
from classify.data.neighbours.copies import copies_of
from classify.data.rows.blocks import Rows
from classify.data.rows.budget import fits, rows_of
from classify.data.rows.streamed import Streamed
from classify.data.split_record import Assignments
from classify.data.splits import TEST, TRAIN, VAL, Split, parse_shares, refuse_own_parts, split
from extract.embedding.progress import Progress
from extract.embedding.spaces import largest
from extract.embedding.thumbnails import complete, thumbnails_of

CLASS_WEIGHTS = ("none", "balanced")
PARTS = ("auto", "top", "all")


@dataclass(frozen=True, kw_only=True)
class Division(Labelled):
    """The training part (n rows), which its own fields as `Labelled` are, and the test part (m rows) of a data set.

    `ungrouped` is the split that would have been, had near copies not been kept on one side; None where that
    is the same.
    """

    data: Embedded
    split: Split
    rows: Rows  # (rows of the manifest, D) float32
    X_test: Rows  # (m, D) float32
    truth: np.ndarray  # (m,) class names
    ungrouped: np.ndarray | None  # (rows of the manifest,) part codes
    notes: list[str]
    divided_in: Space  # whose embeddings told the near copies
    class_weight: str = "none"

    def within(self, spaces: Collection[Space], parts: str = "auto") -> Division:
        """The same division of the rows in some of the spaces, of which a head may use `parts`."""
        data = self.data.within(spaces)
        kept = Columns("", tuple((b.start, b.stop) for b in self.data.blocks if b.space in spaces))
        return replace(self._of(kept), data=data, choices=choices_of(data.blocks, parts))

    def using(self, columns: Columns) -> Division:
        """The same division with these columns of the rows alone."""
        return replace(self._of(columns), choices=())

    def _of(self, columns: Columns) -> Division:
        views = None if self.views is None else columns.of(self.views)
        rows, X, X_test = (columns.of(each) for each in (self.rows, self.X, self.X_test))
        return replace(self, rows=rows, X=X, X_test=X_test, views=views)

    @property
    def names(self) -> np.ndarray:
        """Class name of each row of the manifest."""
        return np.array(self.data.manifest.classes)[self.data.manifest.label]

    def weight_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Weight of rows of the manifest that train, of the validation part, too; None where all are equal."""
        if self.weight is None:
            return None
        if (self.split.part[rows] == TRAIN).all():
            return self.weight[self.places(rows)]
        return _weights(self.data, rows, self.names[rows], self.class_weight)

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where training rows of the manifest are among those of `X`."""
        return np.searchsorted(np.flatnonzero(self.split.part == TRAIN), rows)

    @cached_property
    def sha256(self) -> str:
        """Hash of the pictures, their labels and their parts."""
        return data_hash(self.data.manifest, self.split.part)

    @cached_property
    def train_hash(self) -> str:
        """Names the training part in the log of readings."""
        return part_hash(self.data.manifest, self.split.part == TRAIN)

    @cached_property
    def test_hash(self) -> str:
        """Names the test part in the log of readings."""
        return part_hash(self.data.manifest, self.split.part == TEST)


def divide(
    workspace: Workspace,
    data: Embedded,
    *,
    test_size: float,
    seed: int,
    shares: str | None = None,
    group_by: str | None = None,
    class_weight: str = "none",
    parts: str = "auto",
    progress: Progress | None = None,
    memory: float = np.inf,
    in_blocks: bool = False,
) -> Division:
    """Split a data set, keep copies and groups on one side, and weigh its rows.

    `shares`, such as "80/10/10", are those of the training, validation and test part; they take the place of
    `test_size`. The split is recorded in the workspace, so that pictures keep their part when others are added.
    `parts` says which parts of the rows a head may use, see `choices_of`.
    Rows that would need more than `memory` bytes are streamed, and many rows where all that is asked of them can be
    done `in_blocks`, see `classify.data.rows.budget`.
    `progress` is told of the reading of files of which a cache of an earlier version has no thumbnail.

    Raises
    ------
    UserError
        For data that cannot be divided, or that brings parts of its own against `shares`; an unknown column, or
        weights that are no numbers above 0.
    """
    manifest, val_size = data.manifest, 0.0
    if shares is not None:
        val_size, test_size = parse_shares(shares)
        refuse_own_parts(manifest, data.name, shares)
    complete(workspace, data.space, manifest, largest(workspace, data.space), progress or Progress())
    rows = rows_of(data, memory, in_blocks)
    found = copies_of(data, thumbnails_of(workspace, data.space), held=fits(data, memory))
    group = found.group if group_by is None else join(found.group, of_column(manifest, group_by))
    record = partial(Assignments.path, workspace.root, data.name, seed, test_size, group_by or "")
    cut = partial(split, manifest, test_size=test_size, val_size=val_size, seed=seed)
    tested = None
    if val_size:  # the test part is that of the split without
        tested = _keep(record(), partial(cut, val_size=0.0, groups=group)).assigned
    divided = _keep(record(val_size), partial(cut, groups=group, tested=tested))
    notes = [*divided.notes, *found.notes]
    if data.refused:
        files = counted(data.refused, "file")
        notes.append(f"left out: {files} of {data.name}, no pictures or damaged ones, as `extract` said")
    notes += lacking(data)
    names = np.array(manifest.classes)
    fitted, tested = divided.part == TRAIN, divided.part == TEST
    y, truth = names[manifest.label[fitted]], names[manifest.label[tested]]
    unseen = int((~np.isin(truth, y)).sum())
    if unseen:
        notes.append(
            counted(
                int(unseen),
                "test picture belongs to a class without training pictures: it counts as an error",
                "test pictures belong to classes without training pictures: they count as errors",
            )
        )
    ungrouped = None
    if group_by is None and divided.assigned is not None:
        alone = cut().part
        ungrouped = alone if _straddles(found.pairs, alone) else None
    training, testing = (
        rows.select(part) if isinstance(rows, Streamed) else rows[part] for part in (fitted, tested)
    )
    own = divided.group[fitted]
    return Division(
        data=data,
        split=divided,
        rows=rows,
        X=training,
        choices=choices_of(data.blocks, parts),
        y=y,
        weight=_weights(data, fitted, y, class_weight),
        class_weight=class_weight,
        group=own if len(np.unique(own)) < len(own) else None,
        X_test=testing,
        truth=truth,
        ungrouped=ungrouped,
        notes=notes,
        divided_in=data.space,
    )


def choices_of(blocks: Sequence[Block], parts: str = "auto") -> tuple[Columns, ...]:
    """What a head may use of rows that are made of `blocks`.

    Parameters
    ----------
    blocks : sequence of Block
        At least one.
    parts : {"auto", "top", "all"}
        The plain embedding of each network, all parts of each network, or both, to choose from; one choice where that
        is the same.

    Raises
    ------
    UserError
        For another word.
    """
    if parts not in PARTS:
        raise UserError(f"Expected --parts {', '.join(PARTS[:-1])} or {PARTS[-1]}, received {parts!r}.")
    top = Columns("top", tuple((block.start, block.stop) for block in blocks if block.part in ("", TOP)))
    every = Columns("all", tuple((block.start, block.stop) for block in blocks))
    if parts == "top":
        return (top,)
    return (every,) if parts == "all" or top.spans == every.spans else (top, every)


def lacking(data: Embedded) -> list[str]:
    """Say which pictures have no row though they were not rejected, and how to have one."""
    unknown = data.missing - data.refused
    if not unknown:
        return []
    files = f"left out: {counted(unknown, 'file')} of {data.name}, which could not be read or were not extracted in"
    if len(data.stores) == 1:
        return [f"{files} this space yet: `extract` tries again"]
    lack = [
        f"{counted(files_of, 'file')} by `{extract_command(space, data.manifest.root)}`"
        for space, files_of in zip(data.spaces, data.lacking, strict=True)
        if files_of
    ]
    return [f"{files} each of {len(data.stores)} spaces yet: {'; '.join(lack)}"]


def _keep(path: Path, cut: Callable[..., Split]) -> Split:
    """Split as the record says, and complete it."""
    found = cut(previous=Assignments.load(path))
    if found.assigned is not None:
        found.assigned.save(path)
    return found


def _straddles(pairs: np.ndarray, part: np.ndarray) -> bool:
    sides = part[pairs]
    return bool(((sides == TRAIN).any(axis=1) & (sides == TEST).any(axis=1)).any())


def _weights(data: Embedded, rows: np.ndarray, y: np.ndarray, class_weight: str) -> np.ndarray | None:
    """Row weights (n,): the manifest's column `weight`, times those that give every class the same sum."""
    if class_weight not in CLASS_WEIGHTS:
        raise UserError(f"Expected --class-weight {' or '.join(CLASS_WEIGHTS)}, received {class_weight!r}.")
    given = data.manifest.columns.get("weight")
    weight = None
    if given is not None:
        try:
            weight = np.array([float(text) for text in given])[rows]
        except ValueError as error:
            raise UserError(
                f"Expected numbers in the column weight: {error}. Mend the table and extract it."
            ) from error
        if not (weight > 0).all() or not np.isfinite(weight).all():
            raise UserError("Expected weights above 0 in the column weight. Mend the table and extract it.")
    if class_weight == "balanced":
        classes, codes = np.unique(y, return_inverse=True)
        total = np.bincount(codes, weight)
        balance = total.sum() / (len(classes) * total)
        weight = balance[codes] if weight is None else weight * balance[codes]
    return weight


def set_aside(division: Division, val_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide what may be trained on: the data set's own validation part, or a share of the training part.

    Parameters
    ----------
    division : Division
    val_size : float
        Share of each class's training pictures; near copies and groups stay together.
    seed : int
        That of the division.

    Returns
    -------
    fit, val : (f,), (v,) int
        Rows of the manifest.

    Raises
    ------
    UserError
        When there are too few pictures for both.
    """
    part, group = division.split.part, division.split.group
    train, val = np.flatnonzero(part == TRAIN), np.flatnonzero(part == VAL)
    if len(val):
        return train, val
    manifest = division.data.manifest.select(train)
    manifest = replace(manifest, split=np.zeros(len(train), np.uint8))
    try:
        inner = split(manifest, test_size=val_size, seed=seed + 1, groups=group[train])
    except UserError as error:
        raise UserError(
            f"Expected training pictures enough to set {val_size:.0%} of them aside for validation: {error}"
        ) from error
    return train[inner.part == TRAIN], train[inner.part != TRAIN]
