"""Train heads on a cached data set: split, search, calibrate, test once, keep the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cache.dataset import Embedded
from cache.files import write_file
from cache.workspace import Workspace
from classify.evaluate import tie
from classify.heads import select
from classify.leaderboard import HeadResult, leaderboard
from classify.runs import data_hash, save_evaluation, save_head, write_json
from classify.search import search
from classify.splits import TEST, TRAIN, Assignments, Split, describe, split
from classify.training import Trained, train


@dataclass(frozen=True)
class FitResult:
    """The outcome of `fit_heads`: heads by falling CV accuracy; `interrupted` when Ctrl-C ended it early."""

    run: Path
    best: str
    heads: list[HeadResult]
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "run": str(self.run),
            "best": self.best,
            "heads": [result.to_json() for result in self.heads],
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """Return the leaderboard and where the run is."""
        return f"{leaderboard(self.heads)}\nbest: {self.best}, in {self.run}"


def fit_heads(
    workspace: Workspace,
    models: Sequence[str],
    *,
    dataset: str | None = None,
    space: str | None = None,
    folds: int = 5,
    test_size: float = 0.2,
    seed: int = 0,
    n_jobs: int | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> FitResult:
    """Train heads on a data set's embeddings and write a run folder with the best.

    Settings and the best head are chosen by cross-validation on the training part; the test part is read once
    a head, after that. The run becomes the workspace's best when it is the first of its data set, or its CV
    accuracy is at least that of the best so far.

    Parameters
    ----------
    workspace : Workspace
    models : sequence of str
        Names from `heads.HEADS`, or "all".
    dataset, space : str, optional
        Default: the workspace's current ones.
    folds : int
        Of the cross-validation.
    test_size : float
        Fraction of each class, unless the data set has a test part of its own.
    seed : int
        Of the split and the folds.
    n_jobs : int, optional
        Threads; default: all cores. The result does not depend on it.
    on_progress : callable (line of text), optional

    Raises
    ------
    UserError
        For unknown names, nothing extracted, or data that cannot be split or fitted.
    KeyboardInterrupt
        On Ctrl-C before the first head is finished; later, the finished heads make the run.
    """
    heads = select(models)
    data = workspace.load(dataset, space)
    manifest = data.manifest
    kept = Assignments.path(workspace.root, data.name, seed, test_size)
    divided = split(manifest, test_size=test_size, seed=seed, previous=Assignments.load(kept))
    if divided.assigned is not None:
        divided.assigned.save(kept)
    notes = list(divided.notes)
    if data.missing:
        notes.append(
            f"{data.missing} pictures of {data.name} have no embedding in this space and are left out"
        )

    names = np.array(manifest.classes)
    fitted, tested = divided.part == TRAIN, divided.part == TEST
    y, truth = names[manifest.label[fitted]], names[manifest.label[tested]]
    unseen = ~np.isin(truth, y)
    if unseen.any():
        notes.append(
            f"{unseen.sum()} test rows belong to classes without training pictures: they count as errors"
        )
    X, X_test = data.embedding[fitted], data.embedding[tested]

    searching = partial(search, folds=folds, seed=seed, n_jobs=n_jobs)
    trained: list[Trained] = []
    interrupted = False
    for head in heads:
        try:
            trained.append(train(head, searching, X, y, X_test, truth, on_progress))
        except KeyboardInterrupt:
            if not trained:
                raise
            interrupted = True
            notes.append(f"stopped while fitting {head.name}: only the heads finished before are reported")
            break
    trained.sort(key=lambda each: (-round(each.result.cv_accuracy, 9), each.rank))
    for each in trained:
        notes += [note for note in each.found.notes if note not in notes]
    results = [each.result for each in trained]
    if len(results) > 1 and tie(results[0].evaluation, results[1].evaluation):
        notes.append(
            f"a tie: the test intervals of {results[0].name} and {results[1].name} overlap; "
            f"{results[0].name} is kept for its CV accuracy"
        )
    run = workspace.new_run("fit-head")
    parameters = {
        "models": list(models),
        "folds": folds,
        "test_size": test_size,
        "seed": seed,
        "n_jobs": n_jobs,
    }
    _write_run(workspace, run, data, divided, trained, parameters, notes)
    _remember(workspace, run, data, results[0])
    return FitResult(run, results[0].name, results, notes, interrupted)


def _write_run(
    workspace: Workspace,
    run: Path,
    data: Embedded,
    divided: Split,
    trained: Sequence[Trained],
    parameters: dict[str, Any],
    notes: list[str],
) -> None:
    best, manifest = trained[0], data.manifest
    test = np.flatnonzero(divided.part == TEST)
    paths = [manifest.paths[row] for row in test]
    truth = np.array(manifest.classes)[manifest.label[test]]
    save_evaluation(run, best.result.evaluation, paths, truth, best.predicted, best.probability)
    table = leaderboard([each.result for each in trained])
    write_file(run / "leaderboard.txt", "\n".join([table, *(f"note: {note}" for note in notes), ""]).encode())
    report = [
        each.result.to_json()
        | {
            "cv_std": each.result.cv_std,
            "test_part_read": each.tested,
            "test": each.result.evaluation.to_json(),
            "candidates": [
                {"params": one.settings, "cv_accuracy": one.mean, "folds": one.accuracy.tolist()}
                for one in each.found.candidates
            ],
        }
        for each in trained
    ]
    write_json(run / "report.json", {"heads": report, "notes": notes})
    record = {
        "command": "fit-head",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": parameters,
        "dataset": data.name,
        "root": manifest.root,
        "data_sha256": data_hash(manifest, divided.part),
        "split": describe(divided),
        "space": {"id": data.space.id, "json": data.space.to_json()},
        "head": {
            "name": best.result.name,
            "params": best.result.params,
            "cv_accuracy": best.result.cv_accuracy,
            "test_accuracy": best.result.evaluation.accuracy,
        },
        "notes": notes,
    }
    save_head(workspace, run, best.head, record)


def _remember(workspace: Workspace, run: Path, data: Embedded, best: HeadResult) -> None:
    """Make this the workspace's best run, unless a better one of the same data set is still there."""
    known = workspace.state().get("run") or {}
    better = known.get("dataset") == data.name and known.get("cv_accuracy", 0) > best.cv_accuracy
    if better and (Path(known["path"]) / "run.json").exists():
        return
    entry = {
        "path": str(run.resolve()),
        "dataset": data.name,
        "space": data.space.id,
        "cv_accuracy": best.cv_accuracy,
    }
    workspace.remember(run=entry)
