"""What is known of each picture of a map, and what it can be coloured by: label, answer, part, audit kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from cache.storage.keys import as_items, match, unique
from cache.workspace import Workspace
from classify.runs.folder import best_run, find_run
from classify.runs.predictions import read_pictures
from classify.runs.record import record_of
from classify.runs.scores import PARTS, Scores, load
from classify.runs.standing import Standing

ISSUES = "issues.csv"
SHOWN_FIRST = ("label", "outlier", "copy", "pixels", "class")  # of several kinds of one picture


@dataclass(frozen=True, eq=False)
class Fact:
    """One thing known of n pictures."""

    name: str  # for programs
    title: str  # for people
    values: Sequence[str]
    code: NDArray[np.int32]  # (n,) index into values, -1 where it is not known

    @classmethod
    def of(cls, name: str, title: str, texts: Sequence[str], order: Sequence[str] = ()) -> Fact:
        """Number n texts, "" for what is not known; the values stand in `order`, then by the alphabet."""
        there = {*texts}
        values = [each for each in order if each in there] + sorted(there - {*order, ""})
        code = {value: number for number, value in enumerate(values)} | {"": -1}
        return cls(name, title, values, np.array([code[text] for text in texts], np.int32))


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of n pictures, and from where."""

    facts: Sequence[Fact]
    probability: NDArray[np.float32] | None  # (n,) of the answer, NaN where there is none
    sources: Sequence[str]  # which run and audit it is from, a line each
    notes: Sequence[str]


def facts_of(workspace: Workspace, dataset: str, manifest: Manifest, run: str | None) -> Facts:
    """Bring together what the manifest, a run and the last audit say of the pictures.

    Parameters
    ----------
    workspace : Workspace
    dataset : str
    manifest : Manifest
        n rows.
    run : str, optional
        Run whose answers are meant; default: the best on the data set.

    Raises
    ------
    UserError
        For a run that is not there, or named and has no scores.
    """
    labels = ["" if code < 0 else manifest.classes[code] for code in manifest.label.tolist()]
    parts = [SPLITS[code] for code in manifest.split.tolist()]
    facts, sources, notes = [Fact.of("label", "Label", labels, manifest.classes)], list[str](), list[str]()
    probability = None
    folder = find_run(workspace, run) if run else _best(workspace, dataset)
    try:
        scores = load(folder) if folder else None
    except UserError as error:
        if run:
            raise
        scores = None
        notes.append(f"without answers: {error}")
    if folder and scores:
        answers, probability, parts = _answers(scores, manifest)
        known = [bool(answer and label) for answer, label in zip(answers, labels, strict=True)]
        verdict = [
            ("right" if answer == label else "wrong") if both else ""
            for answer, label, both in zip(answers, labels, known, strict=True)
        ]
        facts.append(Fact.of("answer", "Answer", answers, scores.classes))
        facts.append(Fact.of("verdict", "Right or wrong", verdict, ("wrong", "right")))
        sources.append(f"answers of {Standing.of(folder, record_of(folder))}")
    facts.append(Fact.of("part", "Part", parts, PARTS))
    audit = _last_audit(workspace, dataset)
    if audit:
        kinds = _kinds(audit / ISSUES)
        found = [kinds.get(path, "none") for path in manifest.paths]
        facts.append(Fact.of("audit", "Audit", found, (*SHOWN_FIRST, *sorted({*found} - {"none"}))))
        sources.append(f"findings of {audit.name}")
    return Facts([each for each in facts if each.values], probability, sources, notes)


def _best(workspace: Workspace, dataset: str) -> Path | None:
    """The best run, if it is one on this data set."""
    try:
        folder = best_run(workspace)
    except UserError:
        return None
    return folder if record_of(folder).get("dataset") == dataset else None


def _answers(scores: Scores, manifest: Manifest) -> tuple[list[str], NDArray[np.float32], list[str]]:
    """The answer to each of n pictures, its probability, and the part that it was in: by their bytes."""
    held, first, _ = unique(as_items(scores.key))
    asked, _, inverse = unique(as_items(manifest.key))
    place = np.full(len(asked), -1)
    mine, theirs = match(asked, held)
    place[mine] = first[theirs]
    rows = place[inverse]
    best = scores.probability.argmax(axis=1)
    probability = np.where(rows < 0, np.nan, scores.probability.max(axis=1)[rows]).astype(np.float32)
    answers = ["" if row < 0 else scores.classes[best[row]] for row in rows.tolist()]
    return answers, probability, ["" if row < 0 else PARTS[scores.part[row]] for row in rows.tolist()]


def _last_audit(workspace: Workspace, dataset: str) -> Path | None:
    """The newest run with findings on this data set."""
    runs = sorted(
        workspace.runs.glob(f"[0-9]*-*/{ISSUES}"), key=lambda path: -int(path.parent.name.partition("-")[0])
    )
    return next((path.parent for path in runs if record_of(path.parent).get("dataset") == dataset), None)


def _kinds(file: Path) -> dict[str, str]:
    """The kind of finding of each picture by its path; of several the first of `SHOWN_FIRST`."""
    table = read_pictures(file)
    found: dict[str, str] = {}
    rank = {kind: place for place, kind in enumerate(SHOWN_FIRST)}
    for path, kind in zip(table["path"], table["kind"], strict=True):
        if path not in found or rank.get(kind, 99) < rank.get(found[path], 99):
            found[path] = kind
    return found
