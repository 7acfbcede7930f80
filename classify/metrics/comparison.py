"""Two heads on the same test pictures: is one better, or was it luck?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.text import counted

DRAWS = 10_000
LEVEL = 0.05  # below it a difference is called one


@dataclass(frozen=True)
class Comparison:
    """Head `first` against head `second` on n pictures.

    `only_first` pictures are right with the first head alone, `only_second` with the second alone; `p` is
    McNemar's (mid-p); `difference` is the first accuracy minus the second, with the 95 % interval [`low`,
    `high`].
    """

    first: str
    second: str
    n: int
    only_first: int
    only_second: int
    p: float
    difference: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Whether the test tells the heads apart at the level of 0.05."""
        return self.p < LEVEL

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain Python values."""
        return dict(vars(self))

    def sentence(self) -> str:
        """Say the outcome in words."""
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.2f}" if self.p >= 0.01 else f"p = {self.p:.3f}"
        better = self.first if self.difference > 0 else self.second
        verdict = f"{better} is better" if self.differs else "no difference shown"
        return (
            f"{self.first} is right on {counted(self.only_first, 'picture')} that {self.second} gets wrong, "
            f"and wrong on {self.only_second} that it gets right, of {self.n:,}: {p}, {verdict} "
            f"({100 * self.difference:+z.1f} points, 95 % interval {100 * self.low:+z.1f} to "
            f"{100 * self.high:+z.1f})."
        )


def compare(
    first: str, second: str, truth: np.ndarray, one: np.ndarray, two: np.ndarray, *, seed: int = 0
) -> Comparison:
    """Compare the predictions of two heads on the same rows.

    The interval is the percentile bootstrap of the paired difference: n rows drawn with replacement, 10,000
    times. A row counts +1, -1 or 0, so that a draw of n rows is one draw of three counts.

    Parameters
    ----------
    first, second : str
        Names of the heads.
    truth, one, two : (n,) arrays of class names
        n at least 1.
    seed : int
    """
    right, other = one == truth, two == truth
    n = len(truth)
    b, c = int((right & ~other).sum()), int((other & ~right).sum())
    counts = np.random.default_rng(seed).multinomial(n, [b / n, c / n, 1 - (b + c) / n], size=DRAWS)
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / n, [0.025, 0.975])
    return Comparison(first, second, n, b, c, mcnemar(b, c), (b - c) / n, float(low), float(high))


def mcnemar(b: int, c: int) -> float:
    """Return the two-sided mid-p value of McNemar's test.

    Of b + c pictures on which exactly one head is right, b binomial(b + c, 1/2) if the heads are equally
    good. p = 2 P(X <= min(b, c)) - P(X = b), and 1 - P(X = b) / 2 where b = c: Fagerland, Lydersen and
    Laake 2013, BMC Medical Research Methodology 13:91, who find the exact test too cautious and this one
    within its level.
    """
    from scipy.stats import binom

    here = float(binom.pmf(b, b + c, 0.5))
    if b == c:
        return 1.0 if b == 0 else 1 - here / 2
    return 2 * float(binom.cdf(min(b, c), b + c, 0.5)) - here
