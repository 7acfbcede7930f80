"""What `predict` says beside its answers: sets, what is unknown, where it abstains, and what answers rest on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from cache.errors import UserError
from classify.commands.predict.options import Asked
from classify.limits.abstention import RISK
from classify.limits.checked import ALARMS
from classify.limits.learned import FILE, Limits
from classify.models.classifier import Answered, HeadClassifier, ModelClassifier


@dataclass(frozen=True)
class Beside:
    """Further columns of n pictures, and what a person should know of them, one line each."""

    columns: dict[str, list[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def beside(classifier: HeadClassifier | ModelClassifier, found: Answered, asked: Asked) -> Beside:
    """Make the columns that were asked for, and those of what is unknown, if the run can tell.

    Raises
    ------
    UserError
        For what the run cannot tell, or its training pictures are too few to show.
    """
    if not isinstance(classifier, HeadClassifier):
        if asked.options:
            raise UserError(
                f"Expected a run of fit-head for {' and '.join(asked.options)}, received {classifier.run}, which "
                "answers with a network of its own. Name one with --run."
            )
        return Beside()
    made = Beside()
    if asked.options not in ([], ["--evidence"]) or os.path.lexists(classifier.run / FILE):
        limits = Limits.load(classifier.run)
        if found.rows is not None:
            _unknown(made, limits, found, asked.false_alarms)
        if asked.sets is not None:
            held = limits.sets(found.probability, asked.sets)
            made.columns["set"] = [classifier.classes_[row].tolist() for row in held]
        if asked.max_error is not None:
            _answers(made, limits, found, classifier.classes_, float(asked.max_error))
    if asked.evidence is not None and found.rows is not None:
        near = classifier.evidence(found.rows, asked.evidence)
        for number in range(near.path.shape[1]):
            rank = f"_{number + 1}" if number else ""
            made.columns[f"near{rank}"] = near.path[:, number].tolist()
            made.columns[f"near_label{rank}"] = near.label[:, number].tolist()
            made.columns[f"similarity{rank}"] = near.similarity[:, number].astype(float).round(6).tolist()
    return made


def _unknown(made: Beside, limits: Limits, found: Answered, asked: Fraction | None) -> None:
    assert found.rows is not None
    alarms, n = ALARMS if asked is None else float(asked), len(limits.novelty.known)
    least = 1 / (1 + n)
    if asked is not None and alarms < least:
        raise UserError(
            f"Expected --false-alarms of at least {np.ceil(10_000 * least) / 100:g}, which is what {n:,} training "
            f"pictures can show, received {100 * alarms:g}. Ask for more, or add pictures and run fit-head again."
        )
    typical = limits.novelty.typical(found.rows, found.probability)
    unknown = typical <= alarms
    made.columns["unknown"] = unknown.tolist()
    made.columns["typical"] = typical.round(6).tolist()
    if alarms < least:
        made.notes.append(
            f"nothing is called unknown: {n:,} training pictures cannot show that at {100 * alarms:g}% false alarms; "
            f"--false-alarms {np.ceil(10_000 * least) / 100:g} would do"
        )
    elif unknown.any():
        made.notes.append(
            f"{unknown.sum():,} of {len(unknown):,} pictures unknown: unlike what was trained on, as {100 * alarms:g}% "
            "of pictures that are like it would be"
        )


def _answers(made: Beside, limits: Limits, found: Answered, classes: np.ndarray, most: float) -> None:
    threshold = limits.threshold(most)
    sure = found.probability.max(axis=1) >= threshold.least
    best = classes[found.probability.argmax(axis=1)].tolist()
    made.columns["answer"] = [name if given else "" for name, given in zip(best, sure.tolist(), strict=True)]
    made.notes.append(
        f"{sure.sum():,} of {len(sure):,} pictures answered, those of probability {threshold.least:.3f} or more: of "
        f"such answers at most {100 * most:g}% are wrong, as {threshold.answered:,} training pictures show out of fold "
        f"with a risk of {RISK:.0%}"
    )
