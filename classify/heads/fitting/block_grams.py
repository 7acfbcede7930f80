"""Cross-validated answers of one linear head on any set of column blocks, each further set at the price of n x n."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from classify.heads.fitting.lockstep import minimise
from classify.heads.fitting.logistic import GramProblems, moments
from classify.heads.fitting.scores import with_first_at_zero

STRENGTHS = (
    1e-3,
    3e-3,
    1e-2,
    3e-2,
)  # of regularisation, C; around those that `logreg` chooses on standardised rows


@dataclass(frozen=True)
class SetScores:
    """What a set of blocks answers: `strength` is the C of the highest accuracy, the smallest of equals."""

    strength: float
    accuracy: np.ndarray  # (folds,) of the rows that each fold held out
    scores: np.ndarray  # (n, C) float32, of each row by the fit that had not seen it

    @property
    def mean(self) -> float:
        """Unweighted mean over the folds."""
        return float(self.accuracy.mean())


class BlockGrams:
    """Gram matrices of standardised blocks, whose sums are those of any set of blocks.

    A set's scores are those of StandardScaler and LogisticRegression (L2, intercept free) on the set's columns side
    by side, fitted on each fold's rows - but for one thing: means and deviations are those of all n rows and not of
    each fold's own, for otherwise no product could be shared. No label is in them. So this is a probe that finds a
    set; the figure to report is a search's. Whoever asks for many sets pays n^2 D for all blocks once, and for a set
    L-BFGS on n x n. Memory: 4 n^2 bytes a block and 4 n^2 more.

    Parameters
    ----------
    X : (n, D) float32
    blocks : sequence of B (start, stop)
        Columns of each block.
    codes : (n,) int, 0..classes - 1
    classes : int
    folds : sequence of (rows to fit, rows held out)
        Every row held out once; a class that a fold lacks is given a low score there.
    weight : (n,) float, optional
        Of each row.
    """

    def __init__(
        self,
        X: np.ndarray,
        blocks: Sequence[tuple[int, int]],
        codes: np.ndarray,
        classes: int,
        folds: Sequence[tuple[np.ndarray, np.ndarray]],
        weight: np.ndarray | None = None,
    ) -> None:
        self.blocks, self.codes, self.classes = list(blocks), codes, classes
        self.folds, self.weight = list(folds), weight
        self._grams = [_gram(X[:, start:stop]) for start, stop in self.blocks]

    def scores(
        self, chosen: Iterable[int], strengths: Sequence[float] = STRENGTHS, tol: float = 3e-4
    ) -> SetScores:
        """Cross-validate the set of the `chosen` blocks, by their numbers."""
        chosen = sorted(set(chosen))
        gram = reduce(np.add, [self._grams[number] for number in chosen])
        width = sum(self.blocks[number][1] - self.blocks[number][0] for number in chosen)
        pairs = [(C, fit) for C in sorted(strengths) for fit, _ in self.folds]
        fits, values = [fit for _, fit in pairs], [C for C, _ in pairs]
        problems = GramProblems(gram, width, self.codes, self.classes, fits, values, self.weight)
        found = problems.scores(minimise(problems, tol, 1000), np.arange(problems.count))  # (P, K, n)
        best: SetScores | None = None
        for number, C in enumerate(sorted(strengths)):
            scores = np.empty((len(self.codes), self.classes), np.float32)
            for fold, (_, held) in enumerate(self.folds):
                scores[held] = with_first_at_zero(found[number * len(self.folds) + fold][:, held].T)
            hits = scores.argmax(axis=1) == self.codes
            accuracy = np.array([hits[held].mean() for _, held in self.folds])
            if best is None or round(accuracy.mean(), 9) > round(best.mean, 9):
                best = SetScores(C, accuracy, scores)
        if best is None:
            raise ValueError("Expected a strength at least, received none")
        return best


def _gram(X: np.ndarray) -> np.ndarray:
    """Inner products of standardised rows, (n, n) float32."""
    centre, spread = moments(X)
    Z = (X - centre) / spread
    return Z @ Z.T
