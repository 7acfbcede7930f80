"""Many logistic regressions on the same rows at once: all folds and all strengths share each matrix product.

Cross-validating a linear model alone repeats skinny products (N, D) @ (D, C), which only wait for memory. Here P
problems (a fold and a C each) advance together, so that the products become (N, D) @ (D, P * C), which run at the
processor's full speed. Rows wider than they are many need not be gone through at all but once: see `_solve_wide`.
Axes: N rows, D features, P problems, K columns of scores (classes; 1 for two classes, as scikit-learn has it).
"""

from collections.abc import Sequence

import numpy as np

from classify.heads.fitting.lockstep import Problems, dot, minimise

# Of a gradient's elements, in units of their root mean square, even where features differ in size.
LARGEST = 15


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
    problems = _FeatureProblems(X, codes, classes, fits, strengths, standardise, weight)
    W = minimise(problems, tol, max_iter)
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
    """As `solve`, from one Gram matrix: the best kernel is a combination of rows (representer theorem).

    Fits that scale features by moments of their own have Gram matrices of their own. Beside X this needs memory
    for n (D + 2 n) float32 numbers.
    """
    columns = classes if classes > 2 else 1
    kernels = np.empty((len(fits), X.shape[1], columns), np.float32)
    intercepts = np.empty((len(fits), columns), np.float32)
    for number in {id(fit) for fit in fits} if standardise else {None}:
        mine = [p for p, fit in enumerate(fits) if number in (None, id(fit))]
        rows = np.unique(np.concatenate([fits[p] for p in mine]))
        Z = X[rows]
        centre, spread = moments(Z)
        if not standardise:
            spread[:] = 1
        Z -= centre
        Z /= spread
        own = [np.searchsorted(rows, fits[p]) for p in mine]
        shared = None if weight is None else weight[rows]
        problems = GramProblems(
            Z @ Z.T, X.shape[1], codes[rows], classes, own, [strengths[p] for p in mine], shared
        )
        share, intercept = problems.parts(minimise(problems, tol, max_iter))
        kernel = (share.reshape(-1, len(rows)) @ Z).reshape(*intercept.shape, -1) / spread
        kernels[mine], intercepts[mine] = kernel.transpose(0, 2, 1), intercept - kernel @ centre
    return kernels, intercepts


class GramProblems(Problems):
    """The unknowns are (P, 2 K, N + 1): what each row counts, and below what that makes of the scores.

    With kernel Z' a for rows Z and their Gram matrix G, the upper half is a and the lower G a: the inner product of two
    kernels is that of one's upper and the other's lower half. The intercept is last, in both halves.

    Parameters
    ----------
    gram : (N, N) float32
        Inner products of the rows, best of centred ones.
    width : int
        D of those rows.
    codes, classes, fits, strengths, weight :
        As `Problems` has them.
    """

    def __init__(
        self,
        gram: np.ndarray,
        width: int,
        codes: np.ndarray,
        classes: int,
        fits: Sequence[np.ndarray],
        strengths: Sequence[float],
        weight: np.ndarray | None = None,
    ) -> None:
        super().__init__(codes, classes, fits, strengths, weight)
        self.gram, self.width = gram, width

    def start(self) -> np.ndarray:
        return np.zeros((self.count, 2 * self.columns, len(self.gram) + 1), np.float32)

    def parts(self, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What each row counts (P, K, N), and intercepts (P, K)."""
        return W[:, : self.columns, :-1], W[:, : self.columns, -1]

    def scores(self, W: np.ndarray, active: np.ndarray) -> np.ndarray:
        return W[:, self.columns :, :-1] + W[:, self.columns :, -1:]

    def gradient(self, W: np.ndarray, residual: np.ndarray, active: np.ndarray) -> np.ndarray:
        gradient = self.ridge[active, None, None] * W
        upper, lower = gradient[:, : self.columns], gradient[:, self.columns :]
        upper[..., :-1] += residual
        lower[..., :-1] += self._image(residual)
        upper[..., -1] = lower[..., -1] = residual.sum(axis=2)
        return gradient

    def free(self, W: np.ndarray) -> np.ndarray:
        return W[:, : self.columns]

    def complete(self, free: np.ndarray) -> np.ndarray:
        W = np.concatenate([free, free], axis=1)
        W[:, self.columns :, :-1] = self._image(free[..., :-1])
        return W

    def _image(self, upper: np.ndarray) -> np.ndarray:
        return (upper.reshape(-1, len(self.gram)) @ self.gram).reshape(upper.shape)

    def penalty(self, W: np.ndarray, active: np.ndarray) -> np.ndarray:
        return 0.5 * self.ridge[active] * dot(W[:, : self.columns, :-1], W[:, self.columns :, :-1])

    def dot(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return dot(a[:, : self.columns], b[:, self.columns :])

    def size(self, gradient: np.ndarray) -> np.ndarray:
        mean_square = np.maximum(self.dot(gradient, gradient), 0) / (self.columns * self.width)
        return np.maximum(LARGEST * np.sqrt(mean_square), np.abs(gradient[..., -1]).max(axis=1))


class _FeatureProblems(Problems):
    """The unknowns are (P, K, D + 1), weights of features, the intercept last."""

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
        super().__init__(codes, classes, fits, strengths, weight)
        width = X.shape[1]
        # Centred once for all, which the free intercept takes back: the problem is the same and far better
        # conditioned. Scaled once for all, so that float32 is enough; what a fold's own scaler would add to
        # that is small and goes into its weights.
        self.centre, self.spread = moments(X)
        if not standardise:
            self.spread[:] = 1
        self.X = np.ascontiguousarray((X - self.centre) / self.spread, np.float32)
        mean, scale = np.zeros((len(fits), width), np.float32), np.ones((len(fits), width), np.float32)
        if standardise:
            known = {id(fit): moments(self.X[fit]) for fit in fits}
            for p, fit in enumerate(fits):
                mean[p], scale[p] = known[id(fit)]
        self.shift, self.scale = (mean / scale)[:, None], scale[:, None]  # (P, 1, D)

    def start(self) -> np.ndarray:
        return np.zeros((self.count, self.columns, self.X.shape[1] + 1), np.float32)

    def effective(self, W: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kernel (P, K, D) and intercept (P, K) for the shared X instead of each fold's own scaling of it."""
        return W[..., :-1] / self.scale[active], W[..., -1] - (self.shift[active] * W[..., :-1]).sum(axis=2)

    def scores(self, W: np.ndarray, active: np.ndarray) -> np.ndarray:
        """(P, K, N), linear in W."""
        kernel, intercept = self.effective(W, active)
        product = kernel.reshape(-1, kernel.shape[2]) @ self.X.T
        return product.reshape(*intercept.shape, -1) + intercept[..., None]

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
        return 0.5 * self.ridge[active] * dot(W[..., :-1], W[..., :-1])

    def size(self, gradient: np.ndarray) -> np.ndarray:
        return np.abs(gradient).max(axis=(1, 2))


def moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each feature, (D,) float32; as in StandardScaler, a constant feature is left as it is."""
    deviation = X.std(axis=0, dtype=np.float64)
    deviation[deviation <= 10 * np.finfo(np.float32).eps] = 1
    return X.mean(axis=0, dtype=np.float64).astype(np.float32), deviation.astype(np.float32)
