"""L-BFGS on many logistic regressions in lockstep, so that they share each matrix product.

Nocedal and Wright 2006, algorithm 7.4. Axes: N rows, P problems, K columns of scores (classes; 1 for two classes,
as scikit-learn has it).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

MEMORY = 12  # pairs of steps and gradient changes that L-BFGS remembers
ARMIJO = 1e-4  # least decrease, as a part of what the gradient promises
FLOOR = 1e-10  # of the objective: where a step promises less, float32 does not show whether it keeps it
STEPS = 25  # halvings of a step before a problem counts as solved to machine precision


class Unknowns:
    """What L-BFGS must know of the unknowns W (P, ., .) of P problems; here each of them is free."""

    def dot(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Inner products, (p,) float64; of `a` the free part is enough."""
        return dot(a, b)

    def free(self, W: np.ndarray) -> np.ndarray:
        """The part of W from which the rest follows, a view."""
        return W

    def complete(self, free: np.ndarray) -> np.ndarray:
        """W from its free part, the rest worked out anew so that roundings do not add up."""
        return free


class Problems(Unknowns, ABC):
    """P penalised log-losses on the same N rows, each with its own share of them and its own strength.

    What the unknowns W (P, ., .) are is the subclass's; `active` (p,) are the problems that a call is about. The
    problem comes first and rows or features last, so that every pass over memory runs along it.

    Parameters
    ----------
    codes : (N,) int, 0..classes - 1
    fits : sequence of P (n,) int arrays
        Rows that each is fitted on.
    strengths : sequence of P float
        Values of C.
    weight : (N,) float, optional
        Of each row.
    """

    def __init__(
        self,
        codes: np.ndarray,
        classes: int,
        fits: Sequence[np.ndarray],
        strengths: Sequence[float],
        weight: np.ndarray | None,
    ) -> None:
        self.count, self.columns = len(fits), classes if classes > 2 else 1
        given = np.ones(len(codes)) if weight is None else weight.astype(np.float64)
        total = np.array([given[fit].sum() for fit in fits])
        self.share = np.zeros((len(fits), len(codes)), np.float32)  # of each row in its problem's mean loss
        for share, fit, sum_ in zip(self.share, fits, total, strict=True):
            share[fit] = given[fit] / sum_
        self.ridge = (1 / (np.asarray(strengths) * total)).astype(np.float32)
        target = (np.arange(classes) if classes > 2 else np.array([1]))[:, None] == codes
        self.target = target.astype(np.float32)  # (K, N)

    @abstractmethod
    def start(self) -> np.ndarray:
        """The unknowns at zero, (P, ., .) float32."""

    @abstractmethod
    def scores(self, W: np.ndarray, active: np.ndarray) -> np.ndarray:
        """(p, K, N), linear in W."""

    @abstractmethod
    def gradient(self, W: np.ndarray, residual: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Gradient of the penalised loss by the unknowns, of the shape of W."""

    @abstractmethod
    def penalty(self, W: np.ndarray, active: np.ndarray) -> np.ndarray:
        """(p,)."""

    @abstractmethod
    def size(self, gradient: np.ndarray) -> np.ndarray:
        """How far from solved, (p,): to be compared with the tolerance."""

    def loss(self, scores: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean log-loss (P,) and its gradient by the scores (P, K, N)."""
        return log_loss(scores, self.target, self.share[active])


def log_loss(scores: np.ndarray, target: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-loss (P,) of scores (P, K, N), rows weighed by `share` (P, N), and its gradient by them (P, K, N).

    `target` (K, N) is 1 at the class of each row. Of two classes K is 1: the first scores 0.
    """
    own = np.einsum("pkn,kn->pn", scores, target)
    top = scores.max(axis=1)
    if len(target) == 1:
        np.maximum(top, 0, out=top)
    chance = scores - top[:, None]
    np.exp(chance, out=chance)
    total = chance.sum(axis=1)
    if len(target) == 1:
        total += np.exp(-top)
    losses = np.einsum("pn,pn->p", share, np.log(total) + (top - own), dtype=np.float64)
    chance /= total[:, None]
    chance -= target
    chance *= share[:, None]
    return losses, chance


def minimise(problems: Problems, tol: float, max_iter: int) -> np.ndarray:
    """Minimise all problems together; the solved ones leave the products now and then.

    Returns
    -------
    W : as `problems.start()`
    """
    solution = problems.start()
    active, W = np.arange(problems.count), solution.copy()
    scores = problems.scores(W, active)
    value, residual = problems.loss(scores, active)
    gradient = problems.gradient(W, residual, active)
    done = problems.size(gradient) <= tol
    steps: list[np.ndarray] = []
    changes: list[np.ndarray] = []
    for _ in range(max_iter):
        if done.mean() > 0.2:
            solution[active[done]] = W[done]
            left = ~done
            active, W, gradient, scores = active[left], W[left], gradient[left], scores[left]
            value, done = value[left], done[left]
            steps, changes = [s[left] for s in steps], [c[left] for c in changes]
        if not len(active):
            break
        direction = two_loop(problems, gradient, steps, changes)
        slope = problems.dot(direction, gradient)
        uphill = slope >= 0  # float32 noise in the memory: take the gradient itself there
        direction[uphill] = -gradient[uphill]
        slope[uphill] = -problems.dot(gradient[uphill], gradient[uphill])
        done |= -slope <= FLOOR * np.abs(value)
        direction[done] = slope[done] = 0
        first = np.minimum(1.0, 1.0 / np.maximum(np.abs(gradient).sum(axis=(1, 2)), 1e-30))
        size = (np.ones(len(active)) if steps else first).astype(np.float32)
        ahead = problems.scores(direction, active)
        size, scores, value, residual, stuck = _line_search(
            problems, active, W, direction, scores, ahead, value, slope, size
        )
        direction *= size[:, None, None]
        W += direction
        before, gradient = gradient, problems.gradient(W, residual, active)
        steps.append(direction)
        changes.append(gradient - before)
        del steps[:-MEMORY], changes[:-MEMORY]
        done |= stuck | (problems.size(gradient) <= tol)
    solution[active] = W
    return solution


def _line_search(
    problems: Problems,
    active: np.ndarray,
    W: np.ndarray,
    direction: np.ndarray,
    scores: np.ndarray,
    ahead: np.ndarray,
    value: np.ndarray,
    slope: np.ndarray,
    size: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Halve each problem's step until its objective falls enough; scores are linear, so no product is needed.

    Returns step sizes, scores, objectives and residuals there, and (P,) bool where no step helps any more.
    """
    for _ in range(STEPS):
        trial = scores + ahead * size[:, None, None]
        losses, residual = problems.loss(trial, active)
        reached = losses + problems.penalty(W + direction * size[:, None, None], active)
        # The last term allows for float32 rounding once a problem is all but solved.
        poor = reached > value + ARMIJO * size * slope + 1e-7 * np.abs(value)
        if not poor.any():
            break
        size = np.where(poor, size / 2, size).astype(np.float32)
    return size, trial, reached, residual, poor


def two_loop(
    problems: Unknowns, gradient: np.ndarray, steps: list[np.ndarray], changes: list[np.ndarray]
) -> np.ndarray:
    """L-BFGS direction, for each problem from its own history."""
    direction = -problems.free(gradient)
    factors = []
    inverse = np.ones(len(gradient))
    for step, change in zip(reversed(steps), reversed(changes), strict=True):
        curvature = problems.dot(step, change)
        inverse = np.where(curvature > 1e-14, 1 / np.maximum(curvature, 1e-14), 0)
        factor = inverse * problems.dot(direction, step)
        direction -= factor.astype(np.float32)[:, None, None] * problems.free(change)
        factors.append((factor, inverse))
    if steps:
        curvature, square = problems.dot(steps[-1], changes[-1]), problems.dot(changes[-1], changes[-1])
        # No smaller than Cauchy and Schwarz say: near the end it is a difference of roundings.
        least = curvature**2 / np.maximum(problems.dot(steps[-1], steps[-1]), 1e-30)
        scale = np.where(curvature > 1e-14, curvature / np.maximum(np.maximum(square, least), 1e-30), 1.0)
        direction *= scale.astype(np.float32)[:, None, None]
    for step, change, (factor, inverse) in zip(steps, changes, reversed(factors), strict=True):
        correction = factor - inverse * problems.dot(direction, change)
        direction += correction.astype(np.float32)[:, None, None] * problems.free(step)
    return problems.complete(direction)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner products of each problem's unknowns: two (P, K, D) to (P,) float64."""
    return np.einsum("pkd,pkd->pk", a, b).sum(axis=1, dtype=np.float64)
