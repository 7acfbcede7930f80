"""Which pictures train a head and which test it: seeded, stratified, stable when pictures are added."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain

import numpy as np

from cache.errors import UserError
from cache.manifest import SPLITS, TEST, TRAIN, VAL, Manifest
from cache.storage.keys import as_items, unique
from cache.text import counted
from classify.data.groups import join
from classify.data.identity import digests
from classify.data.split_record import Assignments, merged, recorded_parts
from classify.data.stratification import UNTESTED, allot_parts


@dataclass(frozen=True)
class Split:
    """`part` (n,) uint8 in manifest order: TRAIN, VAL, TEST, or 0 for a row left out.

    `assigned` is what to record for next time; None when the data set has a split of its own. `group` (n,)
    int32 numbers the rows that belong on one side of any further division: identical pictures, and what the
    caller's groups connect.
    """

    part: np.ndarray
    assigned: Assignments | None
    group: np.ndarray
    notes: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many rows each part has, by its name."""
        codes, first, counts = np.unique(self.part, return_index=True, return_counts=True)
        order = np.argsort(first)
        names = (SPLITS[code] or "left out" for code in codes[order].tolist())
        return dict(zip(names, counts[order].tolist(), strict=True))


def split(
    manifest: Manifest,
    *,
    test_size: float = 0.2,
    val_size: float = 0.0,
    seed: int = 0,
    previous: Assignments | None = None,
    groups: np.ndarray | None = None,
    tested: Assignments | None = None,
) -> Split:
    """Divide the labelled rows of a manifest into a training and a test part, and a validation part if asked.

    A data set that comes with a test part (or, failing that, a val part) keeps it; training and val rows whose
    group reaches into a later part are left out. Otherwise each class gives round(test_size * its distinct
    pictures) to the test part, in the order of SHA-256(seed || key), and at least one to training; with
    groups, as nearly as their sizes allow. Pictures in `previous` keep their part, and so does what joins
    their group; new ones bring their class back to the target. If pictures recorded on both sides turn out to
    be one group, all of it goes to the test part: what was tested never trains. A validation part is chosen in the
    same way among the pictures that are not tested. Rows without a label are left out, and so are pictures that
    carry two labels.

    Parameters
    ----------
    manifest : Manifest
        Hashed rows only.
    test_size : float
        Fraction of each class, between 0 and 1.
    val_size : float
        Fraction of each class that neither trains a head nor tests one; 0 for none.
    seed : int
    previous : Assignments, optional
    groups : (n,) int array, optional
        Rows with the same number go to one side; a negative number is no group. Rows with identical pictures
        do in any case. `groups.join` combines several.
    tested : Assignments, optional
        The parts without a validation part. Pictures that are not in `previous` are tested here if they are there.

    Raises
    ------
    UserError
        When a part would be empty.
    """
    if not 0 < test_size < 1:
        raise UserError(f"Expected --test-size between 0 and 1, received {test_size}.")
    notes = []
    conflicts, unlabelled = manifest.conflicts(), manifest.label < 0
    if conflicts.any():
        notes.append(f"{counted(int(conflicts.sum()), 'row')} left out: the same picture carries two labels")
    if unlabelled.any():
        notes.append(f"{counted(int(unlabelled.sum()), 'row')} left out: no label")
    identical = unique(as_items(manifest.key))[2]
    group = join(identical) if groups is None else join(identical, groups)
    usable = np.flatnonzero(~conflicts & ~unlabelled)
    part = np.zeros(len(manifest), np.uint8)
    held = [code for code in (TEST, VAL) if (manifest.split[usable] == code).any()]
    assigned = None
    if held:
        part[usable] = _own(manifest.split[usable], group[usable], held, notes)
    else:
        known = (record.notes for record in (previous, tested) if record is not None)
        notes += dict.fromkeys(chain.from_iterable(known))
        items, first, inverse = unique(as_items(manifest.key[usable]))
        recorded = recorded_parts(items, previous)
        if tested is not None:
            there = recorded_parts(items, tested)
            recorded = np.where(recorded, recorded, np.where(there == TRAIN, UNTESTED, there))
        rows = usable[first]
        order = digests(items, seed)
        distinct = allot_parts(manifest.label[rows], group[rows], order, recorded, test_size, val_size)
        if moved := int(((recorded == TRAIN) & (distinct == TEST)).sum()):
            notes.append(
                f"{counted(moved, 'picture')} moved from training to test: one of the same group was tested before"
            )
        part[usable] = distinct[inverse]
        assigned = merged(items, distinct, previous)
        if val_size:
            notes.append(_kept(part))
    counts = np.bincount(part, minlength=len(SPLITS))
    if not held and val_size and not counts[VAL]:
        raise UserError(
            f"Expected pictures for validation, received none: {val_size:.3g} of each class rounds to nothing in "
            f"{len(usable)} labelled pictures. Add pictures, raise its share in --split, or leave it out."
        )
    if not counts[TRAIN] or not counts[TEST]:
        largest = np.bincount(group[usable]).max(initial=0)
        together = f", {largest} of them in one group, which is not divided" if largest > 1 else ""
        why = f" with {100 * test_size:.3g} % of each class to be tested{together}. Add pictures, or change that share."
        if held and manifest.table:
            why = f", by the column split of {manifest.table}. Write 'train' into some of its rows, or empty it."
        elif held:
            why = (
                ", by its folders of parts. Put pictures into a folder 'train', or extract a folder of class folders "
                "without parts."
            )
        raise UserError(
            f"Expected pictures for training and for testing, received {counts[TRAIN]} and {counts[TEST]} "
            f"from {len(usable)} labelled pictures{why}"
        )
    return Split(part, assigned, group, notes)


def _own(split: np.ndarray, group: np.ndarray, held: list[int], notes: list[str]) -> np.ndarray:
    """Use the data set's own columns; a group on two sides stays on the one furthest from training."""
    part = np.where(split == 0, TRAIN, split).astype(np.uint8)
    if held == [VAL]:
        part[part == VAL] = TEST
        notes.append("the data set has no test part: its val part serves as the test part")
    elif VAL in held:
        notes.append(_kept(part))
    if (split == 0).any():
        notes.append(
            counted(
                int((split == 0).sum()),
                "row without a part of its own is used for training",
                "rows without a part of their own are used for training",
            )
        )
    furthest = np.zeros(group.max() + 1, np.uint8)
    np.maximum.at(furthest, group, part)
    twice = part < furthest[group]
    if twice.any():
        notes.append(
            f"{counted(int(twice.sum()), 'row')} left out of training or val: the same picture, "
            "or one of its group, is in a later part"
        )
    part[twice] = 0
    return part


def _kept(part: np.ndarray) -> str:
    return f"{(part == VAL).sum()} val rows are kept for fine-tuning and train no head"


def parse_shares(text: str) -> tuple[float, float]:
    """Read training/validation/test or training/test shares: percent, or any numbers in proportion.

    Returns
    -------
    val_size, test_size : float
        Of the whole; `val_size` is 0 where there is no validation part.

    Raises
    ------
    UserError
        For what is no such text, or leaves nothing to train on or to test on.
    """
    parts = [part.strip().removesuffix("%") for part in text.split("/")]
    if len(parts) not in (2, 3) or not all(re.fullmatch(r"\d{1,9}(\.\d{1,9})?", part) for part in parts):
        raise UserError(
            f"Expected --split as shares of training, validation and test part, such as 80/10/10, or without a "
            f"validation part 80/20; received {text!r}."
        )
    # Fractions: 0.8/0.1/0.1 and 80/10/10 are one split, with one record.
    shares = [Fraction(part) for part in parts]
    train, val, test = shares[0], sum(shares[1:-1], Fraction()), shares[-1]
    if not train or not test:
        missing = "train on" if not train else "test on"
        raise UserError(
            f"Expected --split with a share to train on and one to test on, received {text!r}: nothing to {missing}. "
            "80/10/10 is a common choice."
        )
    whole = train + val + test
    return float(val / whole), float(test / whole)


def refuse_own_parts(manifest: Manifest, dataset: str, shares: str) -> None:
    """Raise UserError if a data set brings a validation or a test part: those are honoured, not divided again."""
    own = [SPLITS[code] for code in (VAL, TEST) if (manifest.split == code).any()]
    if own:
        raise UserError(
            f"Expected a data set without parts of its own for --split {shares}, received {dataset!r} with a "
            f"{' and a '.join(own)} part. Leave out --split to use them; to divide anew, empty the column split of "
            "the table that `manifest --out labels.csv` writes, and extract that."
        )
