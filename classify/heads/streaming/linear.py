"""What every streamed head comes to: a kernel and an intercept a class, for rows of a form less a shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classify.data.rows.blocks import Rows, by_blocks, sweep
from classify.heads.arrays import STANDARDISED, ArrayHead
from classify.heads.streaming.form import Setting
from classify.heads.streaming.moments import Moments


@dataclass(frozen=True)
class Linear:
    """Scores of K classes: (rows - shift) / scale @ kernel.T + intercept, -inf for a class that was not there.

    `centroids` are those in place of the kernel, of a head that is told by distances: the scores are the same but for
    what all classes of a row share.
    """

    kernel: np.ndarray  # (K, D)
    intercept: np.ndarray  # (K,)
    shift: np.ndarray  # (D,)
    scale: np.ndarray  # (D,), 1 where nothing is standardised
    mean: np.ndarray  # (D,) of the rows fitted on, less the shift and over the scale
    centroids: bool = False
    solved: bool = True  # False where it was clearly behind others before
    right: float | None = None  # what share of the rows that its fold holds out, where that was counted

    @property
    def flat(self) -> np.ndarray:
        """(K, D) kernel for rows that are not scaled."""
        return self.kernel / self.scale

    def head(self, setting: Setting, classes: np.ndarray) -> ArrayHead:
        """Write it down as a head of `setting`."""
        own = (
            self.mean if setting.standard else -self.shift
        )  # what a row less this is taken for, is its origin
        landmarks = setting.form.landmarks
        if self.centroids:
            kind, arrays = "centroids", {"centroids": self.kernel - own}
        else:
            kind = "linear"
            coef, intercept = self.kernel, self.intercept + self.kernel @ own
            if len(classes) == 2:
                coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
            arrays = {"coef": coef, "intercept": intercept}
        scaling, mean, scale = setting.scaling, self.shift + self.mean * self.scale, self.scale
        if landmarks is not None:
            kind, scaling, mean, scale = "nystroem", "standard", landmarks.mean, landmarks.scale
            arrays |= landmarks.arrays()
        standard = scaling in STANDARDISED
        return ArrayHead(
            kind=kind,
            arrays={name: np.array(array, order="C") for name, array in arrays.items()},
            classes_=classes,
            temperature=1.0,
            n_features_in_=len(mean),
            scaling=scaling,
            mean=mean if standard else None,
            scale=scale if standard else None,
            widths=setting.form.widths,
        )


def place(moments: Moments, standard: bool) -> dict[str, np.ndarray]:
    """Where a `Linear` lies that was fitted on rows of these moments."""
    scale = moments.deviation if standard else np.ones(len(moments.shift))
    return {"shift": moments.shift, "scale": scale, "mean": moments.mean / scale}


def hits(
    rows: Rows,
    models: Sequence[Sequence[Linear]],
    codes: np.ndarray,
    fold: np.ndarray,
    jobs: int | None = None,
) -> np.ndarray:
    """Count how many of the rows that a fold holds out each candidate's model of that fold gets right.

    Parameters
    ----------
    models : sequence (candidates) of sequence (folds) of Linear
        With one shift.

    Returns
    -------
    (candidates, folds) int
    """
    each, shift = _stacked(models), models[0][0].shift
    count = len(models)

    def work(block: np.ndarray, places: np.ndarray) -> np.ndarray:
        Z, found = block - shift, np.zeros((count, len(each)), np.int64)
        for number, (kernel, intercept) in enumerate(each):
            own = np.flatnonzero(fold[places] == number)
            scores = (Z[own] @ kernel.T + intercept).reshape(len(own), count, len(models[0][0].intercept))
            found[:, number] = (scores.argmax(axis=2) == codes[places[own], None]).sum(axis=0)
        return found

    total = np.zeros((count, len(each)), np.int64)
    for part in sweep(rows, work, jobs):
        total += part
    return total


def held_out_scores(rows: Rows, models: Sequence[Linear], fold: np.ndarray) -> np.ndarray:
    """Score each row by the model of the fold that holds it out: (n, K) float32."""
    each, shift = _stacked([models]), models[0].shift

    def work(block: np.ndarray, places: np.ndarray) -> np.ndarray:
        Z, own = block - shift, fold[places]
        found = np.empty((len(Z), len(models[0].intercept)), np.float32)
        for number, (kernel, intercept) in enumerate(each):
            found[own == number] = Z[own == number] @ kernel.T + intercept
        return found

    return by_blocks(rows, work)


def _stacked(models: Sequence[Sequence[Linear]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each fold kernels (candidates * K, D) and intercepts, float32."""
    return [
        (
            np.concatenate([model.flat for model in of_fold]).astype(np.float32),
            np.concatenate([model.intercept for model in of_fold]).astype(np.float32),
        )
        for of_fold in zip(*models, strict=True)
    ]
