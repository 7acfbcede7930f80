"""Many linear classifiers on streamed rows at once: a pass over the rows serves all folds and all strengths.

L-BFGS in coordinates in which the problems are round (decision 0037). Passes over all rows begin at solutions on small
samples, with what these have learnt of the curvature; a strength that is clearly behind is not solved to the end
(decision 0048).
Axes: D features, P problems (a fold and a strength each), K columns of scores (1 for two classes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classify.heads.fitting.lockstep import ARMIJO, two_loop
from classify.heads.streaming.linear import Linear
from classify.heads.streaming.problems import Part, Problems

SAMPLES = {32: 1e-2, 8: 1e-2}  # of so many rows one, on which to begin, and how far down: as far as they tell
LEAST = 1_000  # rows of a sample
MEASURED = 4_000  # rows of a sample that curvatures are measured on
MANY = 8_000  # rows: of fewer, accuracies tell little apart, and all is soon solved
RACE = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)  # how far down strengths are when they are compared
GAP = 1e-5  # of what a problem has gained over knowing nothing: it is solved where a step promises less
MOVES = 0.05  # accuracy, times the root of how far down it is: more than any moves on the way from there to the end
MEMORY = 10  # pairs of steps and gradient changes
PASSES = 60
HALVINGS = 12


@dataclass
class Walk:
    """Where some problems are on their way down, and pairs of steps and gradient changes, the last ones last."""

    active: np.ndarray  # (p,) which
    U: np.ndarray  # (p, K, D + 1)
    ahead: np.ndarray  # (p, K, D + 1) where the next step would lead, once it promises little
    value: np.ndarray  # (p,) objectives
    gradient: np.ndarray  # (p, K, D + 1)
    steps: list[np.ndarray]  # at most MEMORY of (p, K, D + 1), zeros where a problem has fewer
    changes: list[np.ndarray]
    part: Part | None = None  # the rows that objectives and gradients are of

    @classmethod
    def nowhere(cls, shape: tuple[int, int, int]) -> Walk:
        """All problems, of which nothing is known."""
        steps, changes = ([np.zeros(shape, np.float32) for _ in range(MEMORY)] for _ in range(2))
        U, ahead, gradient = np.zeros((3, *shape), np.float32)
        return cls(np.arange(shape[0]), U, ahead, np.zeros(shape[0]), gradient, steps, changes)

    def of(self, which: np.ndarray) -> Walk:
        """Some of the problems, (p,) bool or numbers."""
        pairs = ([pair[which] for pair in pairs if pair.any()] for pairs in (self.steps, self.changes))
        own = (of[which] for of in (self.active, self.U, self.ahead, self.value, self.gradient))
        return Walk(*own, *pairs)

    def keep(self, other: Walk, which: np.ndarray) -> None:
        """Take over from `other` what has become of some of its problems, (p,) bool."""
        to = other.active[which]
        for name in ("U", "ahead", "value", "gradient"):
            getattr(self, name)[to] = getattr(other, name)[which]
        for mine, pairs in (self.steps, other.steps), (self.changes, other.changes):
            for at, pair in enumerate(reversed(pairs), 1):
                mine[-at][to] = pair[which]


def solve(problems: Problems, part: Part, reached: float = 0.0) -> tuple[list[Linear], float]:
    """Solve all problems on the rows of a part.

    Parameters
    ----------
    reached : float
        Accuracy, in the mean over the folds, of the best strength elsewhere. What is clearly behind that, or
        behind the best strength here, is left where it is.

    Returns
    -------
    models : list of P Linear
    reached : float
        The same with those here.
    """
    walk = Walk.nowhere(problems.shape)
    everyone, solved = walk.active, np.ones(len(walk.U), bool)
    for share, gap in SAMPLES.items():
        if len(part.codes) // share >= LEAST:
            _minimise(problems, part.sample(slice(len(part.codes) // share)), walk, everyone, gap)
            _rounder(problems, part.sample(slice(-MEASURED, None)), walk)
    right = np.full(len(walk.U), np.nan)
    raced = problems.folds > 1 and len(part.codes) >= MANY
    for gap in (*RACE, GAP) if raced else (GAP,):
        active = np.flatnonzero(solved)
        _minimise(problems, part, walk, active, gap)
        if problems.folds == 1:
            break
        right[active] = problems.right(part, walk.ahead[active], active)
        reached = max(reached, float(right[active].reshape(-1, problems.folds).mean(axis=1).max(initial=0)))
        if gap != GAP:
            doubt = MOVES * np.sqrt(gap) + 2 * np.sqrt(reached * (1 - reached) / len(part.codes))
            of_strength = right.reshape(-1, problems.folds).mean(axis=1)
            solved &= np.repeat(of_strength >= reached - doubt, problems.folds)
        if not solved.any():
            break
    return problems.models(walk.ahead, solved, right), reached


def _rounder(problems: Problems, fresh: Part, walk: Walk) -> None:
    """Take all problems to coordinates in units of what curves there."""
    before, after = problems.measure(fresh, walk.U)
    walk.U = after.unknowns(walk.U, before)
    walk.steps = [after.unknowns(step, before) for step in walk.steps]
    walk.changes = [after.changes(change, before) for change in walk.changes]


def _minimise(problems: Problems, part: Part, whole: Walk, active: np.ndarray, gap: float) -> None:
    """Go down until no problem's step promises much, see GAP; the solved ones leave the passes."""
    walk = whole.of(active)
    if whole.part is not part:
        whole.part = part
        walk.value, walk.gradient = problems.evaluate(part, walk.U, active)
    for _ in range(PASSES):
        direction = two_loop(problems, walk.gradient, walk.steps, walk.changes)
        slope = problems.dot(direction, walk.gradient)
        uphill = slope >= 0
        direction[uphill] = -walk.gradient[uphill]
        slope[uphill] = -problems.dot(walk.gradient[uphill], walk.gradient[uphill])
        left = -slope > 2 * gap * np.maximum(problems.nothing - walk.value, 1e-6)
        if not left.all():
            walk.ahead = walk.U + direction
            whole.keep(walk, ~left)
            walk, direction, slope = walk.of(left), direction[left], slope[left]
        if not left.any():
            return
        before = walk.gradient
        step = _line_search(problems, part, walk, direction, slope)
        walk.U = walk.U + step
        walk.steps.append(step)
        walk.changes.append(walk.gradient - before)
        del walk.steps[:-MEMORY], walk.changes[:-MEMORY]
    walk.ahead = walk.U
    whole.keep(walk, np.ones(len(walk.active), bool))


def _line_search(
    problems: Problems, part: Part, walk: Walk, direction: np.ndarray, slope: np.ndarray
) -> np.ndarray:
    """Shorten each problem's step until its objective falls enough; the walk's are those there, its U is not."""
    size, poor = np.ones(len(slope), np.float32), np.arange(len(slope))
    value, gradient, start = walk.value.copy(), walk.gradient.copy(), walk.value
    for _ in range(HALVINGS):
        step = direction[poor] * size[poor, None, None]
        found, slopes = problems.evaluate(part, walk.U[poor] + step, walk.active[poor])
        good = found <= start[poor] + ARMIJO * size[poor] * slope[poor] + 1e-7 * np.abs(start[poor])
        value[poor[good]], gradient[poor[good]] = found[good], slopes[good]
        rise = np.maximum(found - start[poor] - slope[poor] * size[poor], 1e-30)
        best = -slope[poor] * size[poor] / (2 * rise)  # of the parabola, as a part of the step
        size[poor] *= np.where(good, 1, np.clip(best, 0.1, 0.5))
        poor = poor[~good]
        if not len(poor):
            break
    size[poor] = 0
    walk.value, walk.gradient = value, gradient
    return direction * size[:, None, None]
