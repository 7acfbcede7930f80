"""Mending: the table with suggested labels, and what leaving out or changing suspicious labels is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.manifest import Manifest
from classify.commands.audit.head import FOLDS, TOLERANCE, out_of_fold
from classify.commands.audit.kinds.issue import Issue
from classify.commands.audit.kinds.labels import judge
from classify.commands.audit.labelled import Labelled
from classify.heads.fitting.logistic import solve
from classify.heads.fitting.scaling import LengthScaler
from classify.heads.fitting.scores import with_first_at_zero
from classify.heads.folds import cross_validation_folds
from classify.metrics.comparison import Comparison, compare

# What is done with suspicious labels before training.
TRIALS = {
    "labelled": "as labelled",
    "left_out": "with suspicious labels left out",
    "changed": "with suspicious labels changed",
}


def mended(manifest: Manifest, rows: NDArray[np.intp], issues: Sequence[Issue]) -> Manifest:
    """Give a data set the suggested labels.

    Parameters
    ----------
    manifest : Manifest
        All of the data set.
    rows : (n,) int
        Of it, those that `Issue.row` counts.
    issues : sequence of Issue

    Returns
    -------
    Manifest
        The label of an issue of the kind *label* is the suggested one. Two columns more: `label_was`, filled where the
        label changed, and `issues`, the kinds of issue that the picture has.
    """
    code = {name: number for number, name in enumerate(manifest.classes)}
    label, was, kinds = manifest.label.copy(), [""] * len(manifest), [""] * len(manifest)
    for each in issues:
        if each.row < 0:
            continue
        row = int(rows[each.row])
        kinds[row] = " ".join(filter(None, (kinds[row], each.kind)))
        if each.kind == "label":
            was[row], label[row] = each.label, code[each.suggested]
    return replace(manifest, label=label, columns={**manifest.columns, "label_was": was, "issues": kinds})


@dataclass(frozen=True)
class Worth:
    """Cross-validated accuracy of the regression when it trains on mended labels.

    Which labels are suspicious was found out anew in each fold, among those that it trains on: no picture had a say in
    how it would be judged. All n held-out pictures count, with the labels that they came with.
    """

    n: int
    accuracy: dict[str, float]  # of each of TRIALS
    suspicious: float  # labels a fold, on average
    comparisons: list[Comparison]  # of the other two with the first

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain Python values."""
        return {
            "n": self.n,
            "suspicious": self.suspicious,
            "accuracy": self.accuracy,
            "comparisons": [each.to_json() for each in self.comparisons],
        }

    def sentences(self) -> list[str]:
        """Say the outcome in words."""
        listed = ", ".join(f"{value:.1%} {TRIALS[name]}" for name, value in self.accuracy.items())
        return [
            f"worth of mending: cross-validated accuracy {listed} ({self.suspicious:.0f} a fold, n = {self.n:,})",
            *(each.sentence() for each in self.comparisons),
        ]


def worth(data: Labelled, *, strength: float, seed: int) -> Worth | None:
    """Cross-validate a regression that trains on mended labels; None where there is nothing to judge.

    Parameters
    ----------
    data : Labelled
    strength : float
        C of the regression.
    seed : int
        Of the folds.
    """
    rows = np.flatnonzero(data.learnable)
    names, codes = np.unique(data.label[rows], return_inverse=True)
    if len(names) < 2:
        return None
    place = np.zeros(data.classes, np.intp)
    place[names] = np.arange(len(names))
    Z = LengthScaler(data.widths).fit_transform(data.X[rows])
    answers = {name: np.zeros(len(rows), np.intp) for name in TRIALS}
    counts = []
    for fit, held in cross_validation_folds(codes, FOLDS, seed, data.group[rows]):
        inside = np.full_like(data.label, -1)
        inside[rows[fit]] = data.label[rows[fit]]
        known = out_of_fold(data.with_labels(inside), strengths=(strength,), seed=seed)
        judgement = judge(inside, known.probability, data.voters)
        counts.append(len(judgement.flagged))
        flagged = np.isin(rows, judgement.flagged)
        changed = codes.copy()
        changed[flagged] = place[judgement.suggested[rows[flagged]]]
        kept = fit[~flagged[fit]]
        plain = solve(Z, codes, len(names), [fit, kept], [strength] * 2, standardise=False, tol=TOLERANCE)
        other = solve(Z, changed, len(names), [fit], [strength], standardise=False, tol=TOLERANCE)
        fits = [(plain[0][0], plain[1][0]), (plain[0][1], plain[1][1]), (other[0][0], other[1][0])]
        for name, (kernel, intercept) in zip(TRIALS, fits, strict=True):
            answers[name][held] = with_first_at_zero(Z[held] @ kernel + intercept).argmax(axis=1)
    first, *more = TRIALS
    said = {name: f"training {how}" for name, how in TRIALS.items()}
    return Worth(
        n=len(rows),
        accuracy={name: float((answer == codes).mean()) for name, answer in answers.items()},
        suspicious=float(np.mean(counts)),
        comparisons=[
            compare(said[name], said[first], codes, answers[name], answers[first], seed=seed) for name in more
        ],
    )
