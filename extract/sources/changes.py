"""What is different in a data set since the last time: two manifests, compared by path and by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.manifest import Manifest
from cache.storage.columns.texts import Texts
from cache.storage.keys import as_items, unique
from cache.text import counted, on_one_line
from extract.sources.places.place import is_gone

SHOWN = 3  # names told of each kind


@dataclass(frozen=True)
class Changes:
    """Paths of what is different, in the order of the manifests; a picture is in one list at most."""

    new: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)  # other bytes under the same path
    moved: list[str] = field(default_factory=list)  # the same bytes and class elsewhere; paths of today
    relabelled: list[str] = field(default_factory=list)  # the same bytes in another class; paths of today
    renamed: dict[str, str] = field(default_factory=dict)  # classes: before -> now, all of their pictures
    place: tuple[str, str] | None = None  # of the folder: before -> now

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def to_json(self) -> dict[str, Any]:
        """All of it for scripts; `root` is the folder before and now, or null."""
        return {
            **{name: getattr(self, name) for name in _KINDS},
            "renamed": self.renamed,
            "root": list(self.place) if self.place else None,
        }

    def to_text(self) -> str:
        """One line for people: counts, and the first names of each kind."""
        told = [f"{len(names):,} {kind}{_first(names)}" for kind in _KINDS if (names := getattr(self, kind))]
        if self.renamed:
            pairs = ", ".join(
                f"{on_one_line(old)} -> {on_one_line(now)}" for old, now in self.renamed.items()
            )
            told.append(f"{counted(len(self.renamed), 'class', 'classes')} renamed ({pairs})")
        if self.place:
            told.append(f"the folder moved from {on_one_line(self.place[0])}")
        return f"since the last time: {', '.join(told)}" if told else ""


_KINDS = ("new", "gone", "changed", "moved", "relabelled")


def left(name: str, manifest: Manifest) -> str | None:
    """Say that a data set's folder is gone, and how to point to its new place; None while it is there."""
    if not is_gone(manifest.root):
        return None
    place = f"NEWPLACE/{manifest.table}" if manifest.table else "NEWPLACE"
    return (
        f"the folder of {on_one_line(name)} is gone: {on_one_line(manifest.root)}. Where its pictures have moved, run "
        f"`extract {on_one_line(place)} --name {on_one_line(name)}`: none is embedded again, and each keeps its part"
    )


def compare(before: Manifest, now: Manifest) -> Changes:
    """Compare two manifests of one data set; pictures without a key are compared by their paths alone."""
    if _same(before, now):
        return Changes()
    was, at = _same_paths(before, now)
    known = before.hashed[was] & now.hashed[at]
    other = known & (before.key[was] != now.key[at]).any(axis=1)
    left_before, left_now = _others(before, was), _others(now, at)
    i, j = _same_keys(before, now, left_before, left_now)
    old, new = np.concatenate([was[~other], left_before[i]]), np.concatenate([at[~other], left_now[j]])
    old_names = np.array([*before.classes, ""], object)[before.label[old]]
    new_names = np.array([*now.classes, ""], object)[now.label[new]]
    relabelled = old_names != new_names
    renamed = _renamed(before, now, old_names[relabelled], new_names[relabelled])
    by_class = (
        np.array([renamed.get(name) for name in old_names[relabelled]], object) == new_names[relabelled]
    )
    elsewhere = np.arange(len(old)) >= int((~other).sum())
    elsewhere[relabelled] = False
    return Changes(
        new=_paths(now, np.delete(left_now, j)),
        gone=_paths(before, np.delete(left_before, i)),
        changed=_paths(now, at[other]),
        moved=_paths(now, new[elsewhere]),
        relabelled=_paths(now, new[relabelled][~by_class]),
        renamed=renamed,
        place=(before.root, now.root) if before.root != now.root else None,
    )


def _same(before: Manifest, now: Manifest) -> bool:
    names = (before.root, before.classes, before.paths) == (now.root, now.classes, now.paths)
    return names and np.array_equal(before.label, now.label) and np.array_equal(before.key, now.key)


def _same_paths(before: Manifest, now: Manifest) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of both that have one path."""
    found = Texts.of(before.paths).find(Texts.of(now.paths))
    at = np.flatnonzero(found >= 0)
    return found[at], at


def _others(manifest: Manifest, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    left = np.ones(len(manifest), bool)
    left[rows] = False
    return np.flatnonzero(left)


def _same_keys(
    before: Manifest, now: Manifest, rows: NDArray[np.intp], others: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places in `rows` and `others` (ascending) that have one key; of copies the first with the first, and so on."""
    mine, theirs = rows[before.hashed[rows]], others[now.hashed[others]]
    _, _, code = unique(as_items(np.concatenate([before.key[mine], now.key[theirs]])))
    _, i, j = np.intersect1d(_numbered(code[: len(mine)]), _numbered(code[len(mine) :]), return_indices=True)
    return np.searchsorted(rows, mine[i]), np.searchsorted(others, theirs[j])


def _numbered(code: NDArray[np.intp]) -> NDArray[np.int64]:
    """Make equal codes distinct, by how many came before each."""
    order = np.argsort(code, kind="stable")
    first = np.searchsorted(code[order], code[order])
    number = np.empty(len(code), np.int64)
    number[order] = np.arange(len(code)) - first
    return code * np.int64(2**32) + number


def _renamed(
    before: Manifest, now: Manifest, old: NDArray[np.object_], new: NDArray[np.object_]
) -> dict[str, str]:
    """Classes that are gone and of which all relabelled pictures are in one class that was not there before."""
    renamed = {}
    for name in sorted(set(before.classes) - set(now.classes)):
        targets = set(new[old == name])
        if len(targets) == 1 and (target := targets.pop()) and target not in before.classes:
            renamed[name] = target
    return renamed


def _paths(manifest: Manifest, rows: NDArray[np.intp]) -> list[str]:
    return list(Texts.of(manifest.paths).take(np.sort(rows)))


def _first(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > SHOWN else ""
    return f" ({', '.join(map(on_one_line, names[:SHOWN]))}{more})"
