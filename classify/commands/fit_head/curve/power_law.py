"""What more labels would probably buy: a power law through a learning curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.text import counted

EXPONENTS = np.geomspace(0.05, 2.0, 60)
POINTS = 4  # least sizes that a law with three numbers is fitted to
MISFIT = 3.0  # largest chi-square a degree of freedom
DRAWS = 400
FLAT, NOISY = 0.005, 0.03  # a gain nobody would label for; a gain nobody would miss


@dataclass(frozen=True)
class Forecast:
    """Accuracy ceiling - drop * (n / `start`)^-exponent, fitted from the size `start` on.

    `gain` is the accuracy won by going from `labels` to twice as many, with the 95 % range [`gain_low`,
    `gain_high`].
    """

    ceiling: float
    drop: float
    exponent: float
    start: int
    labels: int
    gain: float
    gain_low: float
    gain_high: float

    def at(self, sizes: np.ndarray) -> np.ndarray:
        """Accuracy at sizes, an array of any shape."""
        return self.ceiling - self.drop * (np.asarray(sizes) / self.start) ** -self.exponent

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain Python values."""
        return dict(vars(self))

    def sentence(self) -> str:
        """Say what the law promises, or that it cannot."""
        low, high = 100 * self.gain_low, 100 * self.gain_high
        double = f"from {self.labels:,} to {counted(2 * self.labels, 'label')}"
        if self.gain_high < FLAT:
            return (
                f"The curve is flat: going {double} would probably bring less than {100 * FLAT:.1f} points."
            )
        if self.gain_low < FLAT and self.gain_high > NOISY:
            return f"The curve is too noisy to say what going {double} would bring: {low:+.1f} to {high:+.1f} points."
        return (
            f"Going {double} would probably bring {100 * self.gain:+.1f} points of accuracy "
            f"(95 % range {low:+.1f} to {high:+.1f}), if the curve goes on as it did."
        )


def forecast(
    sizes: np.ndarray, accuracy: np.ndarray, covariance: np.ndarray, *, seed: int = 0
) -> Forecast | None:
    """Fit a - b * n^-c with a <= 1, b >= 0, c in [0.05, 2], by generalised least squares.

    The law and its use for extrapolation: Hestness et al. 2017, arXiv 1712.00409. It does not hold for the
    smallest samples, so that these are left out, one by one, as long as it does not fit. The range comes from
    refitting 400 curves drawn around the accuracies from each start at which it does: the choice of the start
    is uncertain as well.

    Parameters
    ----------
    sizes : (s,) int array, ascending
    accuracy : (s,) float array
    covariance : (s, s) float array
        Of the accuracies; points evaluated on the same rows err together.
    seed : int

    Returns
    -------
    forecast : Forecast, or None when fewer than four sizes remain or the law does not fit.
    """
    fits, gains = [], []
    for first in range(len(sizes) - POINTS + 1):
        n, y, noise = sizes[first:], accuracy[first:], covariance[first:, first:]
        *law, misfit = _fit(n, y[None], noise)
        if misfit[0] > MISFIT * (len(n) - 3):
            continue
        draws = np.random.default_rng([seed, first]).multivariate_normal(y, noise, DRAWS, method="eigh")
        fits.append((int(n[0]), [float(each[0]) for each in (*law, _gain(n, *law))]))
        gains.append(_gain(n, *_fit(n, draws, noise)[:3]))
    if not fits:
        return None
    start, (ceiling, drop, exponent, gain) = fits[0]
    low, high = np.quantile(np.concatenate(gains), [0.025, 0.975])
    return Forecast(ceiling, drop, exponent, start, int(sizes[-1]), gain, float(low), float(high))


def _gain(n: np.ndarray, ceiling: np.ndarray, drop: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    last = n[-1] / n[0]
    return drop * (last**-exponent - (2 * last) ** -exponent)


def _fit(
    n: np.ndarray, y: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fit B curves (B, s) at once: for each exponent the best a and b in closed form, then the best exponent."""
    # Whitened: after it plain sums of squares weigh as the inverse covariance does.
    white = np.linalg.inv(np.linalg.cholesky(covariance))
    one, y = white.sum(axis=1), y @ white.T
    x = (n / n[0]) ** -EXPONENTS[:, None] @ white.T
    # Normal equations of y = a * one - b * x. Axes: exponent, curve.
    xx, xo, oo = (x * x).sum(axis=1)[:, None], (x @ one)[:, None], one @ one
    xy, oy = x @ y.T, y @ one
    drop = np.maximum((xo * oy - oo * xy) / (oo * xx - xo * xo), 0)
    ceiling = (oy + drop * xo) / oo
    above = ceiling > 1
    drop = np.where(above, np.maximum((xo - xy) / xx, 0), drop)
    ceiling = np.minimum(ceiling, 1)
    rest = y - ceiling[..., None] * one + drop[..., None] * x[:, None, :]
    misfit = (rest * rest).sum(axis=2)
    best, curve = misfit.argmin(axis=0), np.arange(len(y))
    return ceiling[best, curve], drop[best, curve], EXPONENTS[best], misfit[best, curve]
