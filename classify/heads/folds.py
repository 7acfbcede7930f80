"""Cross-validation folds: rows cut, classes large enough, groups together."""

from __future__ import annotations

import warnings

import numpy as np

from cache.errors import UserError
from cache.text import counted

UNEVEN = 10  # times as many rows in the largest class as in the smallest
NAMED = 5  # classes that a note names


def check_classes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the classes, each row's place among them, and their sizes; UserError where nothing can be learnt."""
    classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    if (counts >= 2).sum() < 2:
        received = ", ".join(f"{name} ({n})" for name, n in list(zip(classes, counts, strict=True))[:10])
        raise UserError(
            "Expected at least two classes with two or more training pictures each, "
            f"received {received or 'no pictures'}. Add pictures, or check that labels are folder names."
        )
    return classes, codes, counts


def imbalance(y: np.ndarray, folds: int) -> list[str]:
    """Say which classes of the training part (n,) are too small for the folds, and whether sizes differ a lot.

    A class with fewer rows than folds is missing from some folds' held-out rows, and with a single row from
    that fold's training as well.
    """
    names, counts = np.unique(y, return_counts=True)
    order = np.argsort(counts, kind="stable")
    names, counts = names[order], counts[order]
    few = int((counts < folds).sum())
    notes = []
    if few:
        named = ", ".join(
            f"{name} ({n})" for name, n in zip(names[:NAMED], counts[:few].tolist(), strict=False)
        )
        more = f" and {few - NAMED} more" if few > NAMED else ""
        notes.append(
            f"{few} of {counted(len(names), 'class', 'classes')} {'has' if few == 1 else 'have'} fewer "
            f"training pictures than the {folds} folds: {named}{more}; "
            "cross-validation says little about them"
        )
    if len(counts) and counts[-1] > UNEVEN * counts[0]:
        notes.append(
            f"classes are uneven: {names[-1]} has {counted(int(counts[-1]), 'training picture')}, "
            f"{names[0]} {counts[0]}; "
            "balanced accuracy counts every class alike"
        )
    return notes


def cross_validation_folds(
    codes: np.ndarray, folds: int, seed: int, groups: np.ndarray | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut the rows into (rows to fit, rows held out), no part of one class alone, or raise UserError."""
    parts = _cut(codes, folds, seed, groups) if folds > 1 else []
    if not parts or any(len(np.unique(codes[fit])) < 2 or not len(held) for fit, held in parts):
        raise UserError(
            f"Expected each of {folds} folds to leave two classes to fit on, but groups of pictures that stay together "
            "hold a class almost alone. Add pictures to that class, lower --folds, or change --group-by."
        )
    return parts


def _cut(
    codes: np.ndarray, folds: int, seed: int, groups: np.ndarray | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Deal out the rows; groups of one class are dealt out as if they were one row."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # imbalance says it
        if groups is None:
            splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
            return list(splitter.split(np.empty((len(codes), 0)), codes))
        _, first, member = np.unique(groups, return_index=True, return_inverse=True)
        counts = np.bincount(codes[first])
        if (codes[first][member] != codes).any() or counts.max() < folds:
            by_group = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
            return list(by_group.split(np.empty((len(codes), 0)), codes, groups))
        # StratifiedGroupKFold gives the same guarantee, but looks at every fold for every group in Python.
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        fold = np.empty(len(first), int)
        for number, (_, held) in enumerate(splitter.split(np.empty((len(first), 0)), codes[first])):
            fold[held] = number
    held_in = fold[member]
    return [(np.flatnonzero(held_in != k), np.flatnonzero(held_in == k)) for k in range(folds)]
