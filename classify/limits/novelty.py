"""How unlike the training pictures a picture is: four scores, of which the user's own classes choose one.

Axes: n rows of D columns, in r coordinates; m rows asked for; K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, eigh, solve_triangular
from scipy.special import softmax
from scipy.stats import rankdata
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from classify.data.neighbours.directions import Directions, Spans
from classify.heads.fitting.logistic import solve
from classify.heads.fitting.scores import squared_distances, with_first_at_zero

# How these were chosen: docs/decisions/0035-limits.md.
COORDINATES = 256  # at most
SHRINKAGE = 0.1  # of a covariance towards a multiple of the identity
NEIGHBOUR = 5
STRENGTH = 3e-2  # C of the quick logistic regression
ROWS = 2_000  # pictures that a score is fitted and calibrated on, at most
DRAWN = 900  # of them coordinates are found on, and the score is chosen on
CLASSES = 50  # that the score is chosen on, at most
SETS = 10  # into which they are divided where there are more; each set is left out in turn
FOLDS = 5
NOTHING = 1e-5  # of a squared length of 1 that is rounding

Arrays = dict[str, NDArray[np.floating]]
Rows = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Rows of length 1 by their r largest principal components, and how far they are from the plane of those.

    The distance is the last coordinate, in units of the deviation of a direction that is not in the plane: squared, it
    is what all those directions add to a Mahalanobis distance (Moghaddam and Pentland 1997, IEEE TPAMI 19:696-710).
    """

    spans: tuple[tuple[int, int], ...]  # parts of a row, each brought to a length of its own
    centre: NDArray[np.float32]  # (D,)
    basis: NDArray[np.float32]  # (D, r)
    unit: float = 1.0

    @classmethod
    def around(cls, rows: NDArray[np.float32], spans: Spans) -> Coordinates:
        """Find them for (n, D) rows; without spans a row is one part."""
        n, width = rows.shape
        parts = tuple(spans) or ((0, width),)
        Z = _lengths(rows, parts)
        centre = Z.mean(axis=0, dtype=np.float64).astype(np.float32)
        Z -= centre
        wide = width > n
        products, most = Z @ Z.T if wide else Z.T @ Z, max(1, min(COORDINATES, n // 3, width))
        last = len(products) - 1
        strength, vectors = eigh(products, subset_by_index=(last + 1 - most, last), check_finite=False)
        strength = np.maximum(strength, 1e-12)
        kept = np.flatnonzero(strength >= 1e-6 * strength[-1])[::-1]
        basis = (Z.T @ vectors[:, kept]) / np.sqrt(strength[kept]) if wide else vectors[:, kept]
        found = cls(parts, centre, np.ascontiguousarray(basis, np.float32))
        left = max(1, width - len(kept))
        return replace(found, unit=float(np.sqrt((found.of(rows)[:, -1] ** 2).mean() / left)) or 1.0)

    def of(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(m, D) rows in these coordinates, (m, r + 1)."""
        Z = _lengths(rows, self.spans) - self.centre
        plane = (Z @ self.basis).astype(np.float64)
        beside = np.einsum("ij,ij->i", Z, Z) - np.einsum("ij,ij->i", plane, plane)
        away = np.sqrt(np.where(beside > NOTHING, beside, 0)) / self.unit
        return np.column_stack([plane, away])


def _lengths(rows: NDArray[np.float32], spans: Spans) -> NDArray[np.float32]:
    # Not less a mean: where one class is all that is known, what is far from it would have no direction of its own.
    return Directions(np.zeros(rows.shape[1], np.float32), tuple(spans)).of(rows)


@dataclass(frozen=True)
class Score:
    """A way to say how unlike the training pictures a picture is; larger is more unlike."""

    title: str
    fit: Callable[[Rows, NDArray[np.integer]], Arrays]  # (n, r + 1) coordinates, (n,) classes
    of: Callable[[Arrays, Rows, Rows], Rows]  # what was fitted, (m, r + 1), (m, K) probabilities -> (m,)


def _neighbours(Z: Rows, codes: NDArray[np.integer]) -> Arrays:
    return {"rows": Z[:, :-1].astype(np.float32)}


def _distance(fitted: Arrays, Z: Rows, probability: Rows) -> Rows:
    rows = fitted["rows"].astype(np.float64)
    k = min(NEIGHBOUR, len(rows)) - 1
    return np.sqrt(np.partition(squared_distances(Z[:, :-1], rows), k, axis=1)[:, k])


def _gauss(Z: Rows, codes: NDArray[np.integer]) -> Arrays:
    Z, (classes, place) = Z[:, :-1], np.unique(codes, return_inverse=True)
    means = np.stack([Z[place == number].mean(axis=0) for number in range(len(classes))])
    centred = Z - means[place]
    within = centred.T @ centred / len(Z)
    level = max(np.trace(within) / len(within), 1e-12)
    factor = cholesky(
        (1 - SHRINKAGE) * within + SHRINKAGE * level * np.eye(len(within)), lower=True, check_finite=False
    )
    whitening = solve_triangular(factor, np.eye(len(within)), lower=True, check_finite=False).T
    return {"whitening": whitening, "means": means @ whitening}


def _in_plane(fitted: Arrays, Z: Rows) -> Rows:
    return squared_distances(Z[:, :-1] @ fitted["whitening"], fitted["means"]).min(axis=1)


def _mahalanobis(fitted: Arrays, Z: Rows, probability: Rows) -> Rows:
    return _in_plane(fitted, Z) + Z[:, -1] ** 2


def _two_gausses(Z: Rows, codes: NDArray[np.integer]) -> Arrays:
    whole = _gauss(Z, np.zeros(len(Z), np.intp))
    return _gauss(Z, codes) | {f"whole_{name}": array for name, array in whole.items()}


def _relative(fitted: Arrays, Z: Rows, probability: Rows) -> Rows:
    whole = {
        name.removeprefix("whole_"): array for name, array in fitted.items() if name.startswith("whole_")
    }
    return _in_plane(fitted, Z) - _in_plane(whole, Z)  # what is beside the plane is the same in both


# The simplest first: of equal ones it is kept.
SCORES = {
    # Hendrycks and Gimpel 2017, arXiv 1610.02136.
    "doubt": Score(
        "1 - the highest probability", lambda Z, codes: {}, lambda fitted, Z, p: 1 - p.max(axis=1)
    ),
    # Sun, Ming, Zhu and Li 2022, arXiv 2204.06507.
    "neighbour": Score(f"distance to the {NEIGHBOUR}th nearest training picture", _neighbours, _distance),
    # Lee, Lee, Lee and Shin 2018, arXiv 1807.03888: distance to the nearest class mean, one covariance for all.
    "mahalanobis": Score("Mahalanobis distance to the nearest class", _gauss, _mahalanobis),
    # Ren et al. 2021, arXiv 2106.09022: less the distance to the mean of all.
    "relative": Score("relative Mahalanobis distance", _two_gausses, _relative),
}


@dataclass(frozen=True)
class Trial:
    """How well a score tells pictures of classes that were left out: the mean AUROC over `sets` sets of classes.

    [low, high] is the 95 % t-interval over the sets, as if a class to come were drawn as they were. NaN where no class
    could be left out.
    """

    auroc: float
    low: float
    high: float
    sets: int


@dataclass(frozen=True, eq=False)
class Novelty:
    """A fitted score with its calibration: `known` (N,) are the scores of pictures by fits without them, ascending."""

    name: str
    coordinates: Coordinates
    fitted: Arrays
    known: NDArray[np.float64]
    trial: Trial

    def typical(self, rows: NDArray[np.float32], probability: Rows) -> NDArray[np.float64]:
        """Return the conformal p-values of m pictures, (m,): the share of training pictures as unlike the rest.

        (1 + how many) / (N + 1): Vovk, Gammerman and Shafer 2005, section 2.2. Of pictures as those trained on, a
        share of at most a has a p-value of a or less.
        """
        scores = SCORES[self.name].of(self.fitted, self.coordinates.of(rows), probability)
        at_least = len(self.known) - np.searchsorted(self.known, scores, side="left")
        return (1 + at_least) / (1 + len(self.known))


def learn(
    rows: NDArray[np.float32], codes: NDArray[np.integer], probability: Rows, spans: Spans, seed: int
) -> Novelty:
    """Choose a score, fit it, and calibrate it.

    Parameters
    ----------
    rows : (N, D) float32
        Of independent training pictures, no two of them near copies, in random order.
    codes : (N,) int
        Their classes.
    probability : (N, K) float
        By heads that had not seen them.
    spans : sequence of (int, int)
        Columns of the parts of a row.
    seed : int
    """
    with threadpool_limits(1):  # two wait for each other where other programs run
        return _learn(rows, codes, probability, spans, np.random.default_rng(seed))


def _learn(
    rows: NDArray[np.float32],
    codes: NDArray[np.integer],
    probability: Rows,
    spans: Spans,
    draw: np.random.Generator,
) -> Novelty:
    among = np.flatnonzero(np.isin(codes, draw.permutation(np.unique(codes))[:CLASSES]))[:DRAWN]
    trials = choose(rows[among], codes[among], spans)
    name = max(SCORES, key=lambda each: np.nan_to_num(trials[each].auroc))
    coordinates = Coordinates.around(rows[:DRAWN], spans)
    score, fold, known = SCORES[name], np.arange(len(rows)) % min(FOLDS, len(rows)), np.empty(len(rows))
    for held in (fold == number for number in np.unique(fold)):
        apart = Coordinates.around(rows[~held][:DRAWN], spans)
        fitted = score.fit(apart.of(rows[~held]), codes[~held])
        known[held] = score.of(fitted, apart.of(rows[held]), probability[held])
    return Novelty(name, coordinates, score.fit(coordinates.of(rows), codes), np.sort(known), trials[name])


def choose(rows: NDArray[np.float32], codes: NDArray[np.integer], spans: Spans) -> dict[str, Trial]:
    """Try every score: leave classes out, fit on 4 of 5 rows of the others, and tell theirs from the rest of those.

    Where one class is left, `doubt` and `relative` are the same for all pictures: AUROC 0.5.

    Parameters
    ----------
    rows : (n, D) float32
        In random order.
    codes : (n,) int
    spans : sequence of (int, int)
    """
    classes = np.unique(codes)
    found: dict[str, list[float]] = {name: [] for name in SCORES}
    for some in np.array_split(classes, min(SETS, len(classes))):
        unknown = np.isin(codes, some)
        held = ~unknown & (np.cumsum(~unknown) % 5 == 0)
        fit = ~unknown & ~held
        if not held.any() or fit.sum() < 3:
            continue
        coordinates, names = (
            Coordinates.around(rows[fit], spans),
            np.unique(codes[fit], return_inverse=True)[1],
        )
        Z, asked = coordinates.of(rows[fit]), coordinates.of(rows[held | unknown])
        probability = _quick_probability(Z, names, asked, rows.shape[1])
        for name, score in SCORES.items():
            values = score.of(score.fit(Z, names), asked, probability)
            found[name].append(auroc(values, unknown[held | unknown]))
    return {name: _trial(values) for name, values in found.items()}


def _quick_probability(Z: Rows, codes: NDArray[np.integer], asked: Rows, width: int) -> Rows:
    classes = int(codes.max()) + 1
    if classes < 2:
        return np.ones((len(asked), 1))
    scale = np.sqrt(width)  # as the features of a `LengthScaler`
    X, V = (Z[:, :-1] * scale).astype(np.float32), asked[:, :-1] * scale
    fits, how = [np.arange(len(X))], [STRENGTH]
    kernel, intercept = solve(X, codes, classes, fits, how, standardise=False, tol=1e-3)
    return softmax(with_first_at_zero(V @ kernel[0] + intercept[0]), axis=1)


def auroc(scores: Rows, positive: NDArray[np.bool_]) -> float:
    """The share of pairs of a positive and another in which the positive scores higher; ties count half."""
    n = int(positive.sum())
    ranks = rankdata(np.round(scores, 9))[positive].sum()
    return float((ranks - n * (n + 1) / 2) / (n * (len(scores) - n)))


def _trial(values: Sequence[float]) -> Trial:
    if not values:
        return Trial(np.nan, np.nan, np.nan, 0)
    mean = float(np.mean(values))
    if len(values) < 2:
        return Trial(mean, 0.0, 1.0, len(values))
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return Trial(mean, float(max(0, mean - half)), float(min(1, mean + half)), len(values))
