"""Whose answers judge the labels: those of a run, or of a head of the audit's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from cache.manifest import Manifest
from cache.storage.keys import as_items, match, unique
from cache.text import counted
from cache.workspace import Workspace
from classify.commands.audit.head import out_of_fold
from classify.commands.audit.kinds.labels import FEWEST
from classify.commands.audit.labelled import Labelled
from classify.runs.folder import find_run
from classify.runs.record import record_of
from classify.runs.scores import FILE, Scores, load
from classify.runs.standing import Standing
from classify.runs.summary import runs_of


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities of n pictures by models that had not trained on them."""

    by: str  # whose
    probability: NDArray[
        np.float32
    ]  # (n, C) in the order of the manifest's classes; NaN where there are none
    run: Path | None = None
    notes: list[str] = field(default_factory=list)


def answers_to(
    workspace: Workspace, data: Embedded, labelled: Labelled, named: str | None, seed: int
) -> Answers:
    """Take the answers of the run that is named, of the newest that cross-validated, or of a head of the audit's own.

    Raises
    ------
    UserError
        When the named run has none.
    """
    if named:
        run = find_run(workspace, named)
        return _of_run(run, load(run), data)
    for run in _newest(workspace, data.name):
        scores = load(run)
        if (scores.fold >= 0).any():
            return _of_run(run, scores, data)
    return _own(data.manifest, labelled, seed)


def _newest(workspace: Workspace, dataset: str) -> Sequence[Path]:
    runs = [each.folder for each in runs_of(workspace) if each.finished and each.dataset == dataset]
    return [run for run in reversed(runs) if (run / FILE).is_file()]


def _of_run(run: Path, scores: Scores, data: Embedded) -> Answers:
    manifest = data.manifest
    probability = np.full((len(manifest), len(manifest.classes)), np.nan, np.float32)
    here, _, inverse = unique(as_items(manifest.key))
    held, first, _ = unique(as_items(scores.key))
    mine, theirs = match(here, held)
    at = np.full(len(here), -1)
    at[mine] = first[theirs]
    row = at[inverse]  # of each picture, in the scores
    conflicts = manifest.conflicts()
    known = np.flatnonzero((row >= 0) & ~conflicts)
    place = {name: code for code, name in enumerate(manifest.classes)}
    columns = np.array([place.get(name, -1) for name in scores.classes])
    probability[known] = 0
    probability[known[:, None], columns[columns >= 0]] = scores.probability[row[known]][:, columns >= 0]
    notes = []
    labelled = manifest.label >= 0
    unjudged = labelled & (row < 0) & ~conflicts
    if unjudged.any():
        notes.append(
            f"{counted(int(unjudged.sum()), 'label')} not judged: {run.name} has no answers to these pictures: it "
            "left them out, trained on them without cross-validation, or did not know them. Run `fit-head` again"
        )
    told = known[labelled[known]]
    changed = columns[scores.label[row[told]]] != manifest.label[told]
    if changed.any():
        notes.append(
            f"{counted(int(changed.sum()), 'label')} changed since {run.name}: judged by what it learnt from the "
            "former ones"
        )
    by = f"{Standing.of(run, record_of(run))}"
    return Answers(by, probability, run, notes)


def _own(manifest: Manifest, labelled: Labelled, seed: int) -> Answers:
    found = out_of_fold(labelled, seed=seed)
    notes, few = [], (labelled.label >= 0) & ~labelled.learnable
    if few.any():
        named = sorted({manifest.classes[code] for code in labelled.label[few].tolist()})
        listed = ", ".join(named[:5]) + (", ..." if len(named) > 5 else "")
        notes.append(
            f"{counted(int(few.sum()), 'label')} not judged: {counted(len(named), 'class', 'classes')} with fewer than "
            f"{FEWEST} distinct pictures ({listed})"
        )
    if not np.isfinite(found.probability).any():
        notes.append("no label was judged: that takes two classes of which one can be taken for the other")
        return Answers("", found.probability, None, notes)
    by = f"a logistic regression that was cross-validated for this audit (C = {found.strength:g})"
    notes.append("no run of fit-head has answers to these pictures yet: the labels are judged by " + by)
    return Answers(by, found.probability, None, notes)
