"""One head from embeddings to figures: search, calibrate, read the test part once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from classify.calibration import CalibratedHead, fit_temperature
from classify.evaluate import evaluate
from classify.heads import Head
from classify.leaderboard import HeadResult
from classify.search import SearchResult

INTERVAL = 5.0  # seconds between two lines of progress


@dataclass(frozen=True)
class Trained:
    """A head with its line of the leaderboard and its answers on the m test rows."""

    head: CalibratedHead
    rank: int
    result: HeadResult
    predicted: np.ndarray  # (m,) class names
    probability: np.ndarray  # (m,) of the predicted class
    found: SearchResult
    tested: str  # when the test part was read, ISO 8601


def train(
    head: Head,
    searching: Callable[..., SearchResult],
    X: np.ndarray,
    y: np.ndarray,
    X_test: np.ndarray,
    truth: np.ndarray,
    say: Callable[[str], None] | None = None,
) -> Trained:
    """Choose a head's settings on the training part, calibrate it there, then test it.

    Parameters
    ----------
    head : Head
    searching : callable
        `search` with its options filled in.
    X, X_test : (n, D) and (m, D) float arrays
    y, truth : (n,) and (m,) arrays of class names
    say : callable (line of text), optional
        Told of progress every few seconds, and of the outcome.
    """
    start = last = time.perf_counter()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if say and time.perf_counter() - last > INTERVAL:
            last = time.perf_counter()
            say(f"{head.name}: {done} of {total} fits")

    found = searching(head, X, y, on_progress=progress)
    temperature = fit_temperature(found.scores, np.searchsorted(found.classes, y))
    calibrated = CalibratedHead(found.pipeline, temperature)
    seconds = time.perf_counter() - start
    if say:
        say(f"{head.name}: cross-validated accuracy {found.cv_accuracy:.1%} in {seconds:.1f} s")
    tested = datetime.now(UTC).isoformat(timespec="seconds")
    probability = calibrated.predict_proba(X_test)
    predicted = calibrated.classes_[probability.argmax(axis=1)]
    evaluation = evaluate(truth, predicted, probability, calibrated.classes_)
    result = HeadResult(head.name, found.settings, found.cv_accuracy, found.cv_std, evaluation, seconds)
    return Trained(calibrated, head.rank, result, predicted, probability.max(axis=1), found, tested)
