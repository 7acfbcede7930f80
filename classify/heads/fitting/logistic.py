"""Many logistic regressions on the same rows at once: all folds and all strengths share each matrix product.

Cross-validating a linear model alone repeats skinny products (N, D) @ (D, C), which only wait for memory. Here P
problems (a fold and a C each) advance together by L-BFGS (Nocedal and Wright 2006, algorithm 7.4), so that the
products become (N, D) @ (D, P * C), which run at the processor's full speed. Axes: N rows, D features, P
problems, K columns of scores (classes; 1 for two classes, as scikit-learn has it).
"""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

MEMORY = 12  # pairs of steps and gradient changes that L-BFGS remembers
ARMIJO = 1e-4  # least decrease, as a part of what the gradient promises
STEPS = 25  # halvings of a step before a problem counts as solved to machine precision


def solve(
    X: np.ndarray,
    codes: np.ndarray,
    classes: int,
    fits: Sequence[np.ndarray],
    strengths: Sequence[float],
    *,
    standardise: bool,
    weight: np.ndarray | None = None,
    tol: float = 1e-4,
    max_iter: int = 1000,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit P L2-regularised logistic regressions, each on its own rows and with its own C.

    Each minimises, as scikit-learn's LogisticRegression, the mean of the (weighted) log-losses plus
    |W|^2 / (2 C n) over its n rows (the sum of their weights), intercept not penalised.

    Parameters
    ----------
    X : (N, D) float32
    codes : (N,) int, 0..classes - 1
    fits : sequence of P (n,) int arrays
        Rows that each is fitted on; the same array object may occur many times.
    strengths : sequence of P float
        Values of C.
    standardise : bool
        Fit on features with the mean and deviation of its own rows, as behind a StandardScaler.
    weight : (N,) float, optional
        Of each row.
    tol : float
        Largest absolute element of the gradient at which a problem is solved.

    Returns
    -------
    kernel : (P, D, K) float32
        For raw rows X, scaling folded in.
    intercept : (P, K) float32
    """
    if X.shape[1] > max(map(len, fits)):
        return _solve_wide(X, codes, classes, fits, strengths, standardise, weight, tol, max_iter)
    problems = _Problems(X, codes, classes, fits, strengths, standardise, weight)
    W = _lbfgs(problems, tol, max_iter)
    kernel, intercept = problems.effective(W, np.arange(problems.count))
    kernel = kernel / problems.spread
    return kernel.transpose(0, 2, 1), intercept - kernel @ problems.centre


def _solve_wide(
    X: np.ndarray,
    codes: np.ndarray,
    classes: int,
    fits: Sequence[np.ndarray],
    strengths: Sequence[float],
    standardise: bool,
    weight: np.ndarray | None,
    tol: float,
    max_iter: int,
) -> tuple[np.ndarray, np.ndarray]:
    """As `solve`, where rows are wider than they are many: each fit in the span of its own rows.

    The best kernel is a combination of the rows (representer theorem), so that the n rows may be replaced by any
    others with the same inner products: by n numbers each in place of D.
    """
    columns = classes if classes > 2 else 1
    kernels = np.empty((len(fits), X.shape[1], columns), np.float32)
    intercepts = np.empty((len(fits), columns), np.float32)
    for fit in {id(fit): fit for fit in fits}.values():
        mine = [p for p, other in enumerate(fits) if other is fit]
        Z = X[fit]
        centre = Z.mean(axis=0, dtype=np.float64).astype(np.float32)
        spread = (
            _nonzero(Z.std(axis=0, dtype=np.float64)).astype(np.float32) if standardise else np.float32(1)
        )
        Z -= centre
        Z /= spread
        rows = same_products(Z)
        found, intercept = solve(
            rows,
            codes[fit],
            classes,
            [np.arange(len(fit))] * len(mine),
            [strengths[p] for p in mine],
            standardise=False,
            weight=None if weight is None else weight[fit],
            tol=tol,
            max_iter=max_iter,
        )
        flat = found.transpose(1, 0, 2).reshape(len(fit), -1)
        share = solve_triangular(rows, flat, trans="T", lower=True, check_finite=False)
        kernel = (Z.T @ share).reshape(-1, len(mine), columns).transpose(1, 0, 2) / np.reshape(
            spread, (-1, 1)
        )
        kernels[mine], intercepts[mine] = kernel, intercept - centre @ kernel
    return kernels, intercepts


def same_products(Z: np.ndarray) -> np.ndarray:
    """Rows of n numbers with the inner products of (n, D) rows, the Cholesky factor of their Gram matrix.

    A millionth of the mean square is added to each row's product with itself, so that equal rows do no harm:
    as if each had one more feature, small and of its own.
    """
    gram = (Z @ Z.T).astype(np.float64)
    diagonal = np.einsum("ii->i", gram)
    little = 1e-6 * diagonal.mean() or 1.0
    while True:
        diagonal += little
        try:
            return cholesky(gram, lower=True, check_finite=False).astype(np.float32)
        except LinAlgError:
            little *= 10


class _Problems:
    """The P objectives and their gradients; the unknowns are (P, K, D + 1), the intercept last.

    The problem comes first and rows or features last, so that every pass over memory runs along it.
    """

    def __init__(
        self,
        X: np.ndarray,
        codes: np.ndarray,
        classes: int,
        fits: Sequence[np.ndarray],
        strengths: Sequence[float],
        standardise: bool,
        weight: np.ndarray | None,
    ) -> None:
        rows, width = X.shape
        self.count, self.columns = len(fits), classes if classes > 2 else 1
        # Centred once for all, which the free intercept takes back: the problem is the same and far better
        # conditioned. Scaled once for all, so that float32 is enough; what a fold's own scaler would add to
        # that is small and goes into its weights.
        self.centre = X.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.spread = np.ones(width, np.float32)
        if standardise:
            self.spread = _nonzero(X.std(axis=0, dtype=np.float64)).astype(np.float32)
        self.X = np.ascontiguousarray((X - self.centre) / self.spread, np.float32)
        mean, scale = np.zeros((len(fits), width)), np.ones((len(fits), width))
        self.share = np.zeros((len(fits), rows), np.float32)  # of each row in its problem's mean loss
        total = np.zeros(len(fits))
        moments: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for p, fit in enumerate(fits):
            given = np.ones(len(fit)) if weight is None else weight[fit].astype(np.float64)
            total[p] = given.sum()
            self.share[p, fit] = given / total[p]
            if standardise:
                if id(fit) not in moments:
                    own = self.X[fit]
                    moments[id(fit)] = (
                        own.mean(axis=0, dtype=np.float64),
                        _nonzero(own.std(axis=0, dtype=np.float64)),
                    )
                mean[p], scale[p] = moments[id(fit)]
        self.shift = (mean / scale).astype(np.float32)[:, None]  # (P, 1, D)
        self.scale = scale.astype(np.float32)[:, None]
        self.ridge = (1 / (np.asarray(strengths) * total)).astype(np.float32)
        target = (np.arange(classes) if classes > 2 else np.array([1]))[:, None] == codes
        self.target = target.astype(np.float32)  # (K, N)

    def effective(self, W: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kernel (P, K, D) and intercept (P, K) for the shared X instead of each fold's own scaling of it."""
        return W[..., :-1] / self.scale[active], W[..., -1] - (self.shift[active] * W[..., :-1]).sum(axis=2)

    def scores(self, W: np.ndarray, active: np.ndarray) -> np.ndarray:
        """(P, K, N), linear in W."""
        kernel, intercept = self.effective(W, active)
        product = kernel.reshape(-1, kernel.shape[2]) @ self.X.T
        return product.reshape(*intercept.shape, -1) + intercept[..., None]

    def loss(self, scores: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean log-loss (P,) and its gradient by the scores (P, K, N)."""
        share = self.share[active]
        own = np.einsum("pkn,kn->pn", scores, self.target)
        top = scores.max(axis=1)
        if self.columns == 1:  # the other class scores 0
            np.maximum(top, 0, out=top)
        chance = scores - top[:, None]
        np.exp(chance, out=chance)
        total = chance.sum(axis=1)
        if self.columns == 1:
            total += np.exp(-top)
        losses = np.einsum("pn,pn->p", share, top + np.log(total) - own, dtype=np.float64)
        chance /= total[:, None]
        chance -= self.target
        chance *= share[:, None]
        return losses, chance

    def gradient(self, W: np.ndarray, residual: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Gradient (P, K, D + 1) of the penalised loss by the unknowns."""
        product = residual.reshape(-1, residual.shape[2]) @ self.X
        total = residual.sum(axis=2, keepdims=True)
        gradient = np.empty_like(W)
        kernel = product.reshape(*W.shape[:2], -1) / self.scale[active] - self.shift[active] * total
        gradient[..., :-1] = kernel + self.ridge[active, None, None] * W[..., :-1]
        gradient[..., -1:] = total
        return gradient

    def penalty(self, W: np.ndarray, active: np.ndarray) -> np.ndarray:
        return 0.5 * self.ridge[active] * _dot(W[..., :-1], W[..., :-1])


def _lbfgs(problems: _Problems, tol: float, max_iter: int) -> np.ndarray:
    """Minimise all problems together; the solved ones leave the products now and then."""
    solution = np.zeros((problems.count, problems.columns, problems.X.shape[1] + 1), np.float32)
    active, W = np.arange(problems.count), solution.copy()
    scores = np.zeros((problems.count, problems.columns, len(problems.X)), np.float32)
    value, residual = problems.loss(scores, active)
    gradient = problems.gradient(W, residual, active)
    done = np.abs(gradient).max(axis=(1, 2)) <= tol
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
        direction = _two_loop(gradient, steps, changes)
        slope = _dot(direction, gradient)
        uphill = slope >= 0  # float32 noise in the memory: take the gradient itself there
        direction[uphill] = -gradient[uphill]
        slope[uphill] = -_dot(gradient[uphill], gradient[uphill])
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
        done |= stuck | (np.abs(gradient).max(axis=(1, 2)) <= tol)
    solution[active] = W
    return solution


def _line_search(
    problems: _Problems,
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


def _two_loop(gradient: np.ndarray, steps: list[np.ndarray], changes: list[np.ndarray]) -> np.ndarray:
    """L-BFGS direction, for each problem from its own history."""
    direction = -gradient
    factors = []
    inverse = np.ones(len(gradient))
    for step, change in zip(reversed(steps), reversed(changes), strict=True):
        curvature = _dot(step, change)
        inverse = np.where(curvature > 1e-14, 1 / np.maximum(curvature, 1e-14), 0)
        factor = inverse * _dot(step, direction)
        direction -= factor.astype(np.float32)[:, None, None] * change
        factors.append((factor, inverse))
    if steps:
        curvature, square = _dot(steps[-1], changes[-1]), _dot(changes[-1], changes[-1])
        scale = np.where(curvature > 1e-14, curvature / np.maximum(square, 1e-30), 1.0)
        direction *= scale.astype(np.float32)[:, None, None]
    for step, change, (factor, inverse) in zip(steps, changes, reversed(factors), strict=True):
        correction = factor - inverse * _dot(change, direction)
        direction += correction.astype(np.float32)[:, None, None] * step
    return direction


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner products of each problem's unknowns: two (P, K, D) to (P,) float64."""
    return np.einsum("pkd,pkd->pk", a, b).sum(axis=1, dtype=np.float64)


def _nonzero(deviation: np.ndarray) -> np.ndarray:
    """As in StandardScaler, a constant feature is left as it is."""
    return np.where(deviation > 10 * np.finfo(np.float32).eps, deviation, 1.0)
