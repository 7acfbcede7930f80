"""Which pictures an epoch skips: at random some of those with a low loss, while others like them count the more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classify.training.settings import Settings

EASY = 0.75  # of the pictures, those with the lowest loss
WHOLE = 8  # one epoch of about so many, the last, skips nothing


@dataclass(frozen=True)
class Skipping:
    """How many of n pictures each epoch skips; the first and the last ones skip none.

    Dynamic data pruning (InfoBatch: Qin et al. 2024, arXiv 2303.04947): of the easy pictures a random part is skipped,
    and the others weigh the more, so that the expected gradient is that of all pictures. There, pictures below the mean
    loss are easy; here, a fixed share of them: the time that an epoch takes is known before.
    """

    n: int
    skipped: int
    last: int  # epoch that skips

    @classmethod
    def of(cls, n: int, settings: Settings) -> Skipping:
        """Plan the epochs of a training on n pictures."""
        last = settings.epochs - max(1, round(settings.epochs / WHOLE))
        skipped = max(0, min(round(settings.skip_easy * n), round(EASY * n) - 1))
        return cls(n, skipped if last > 1 else 0, last)

    def __str__(self) -> str:
        """Say which epochs skip how many."""
        epochs = "epoch 2 skips" if self.last == 2 else f"epochs 2 to {self.last} skip"
        return f"{epochs} {self.skipped:,} of {self.n:,} pictures, at random among those with a low loss"

    def pictures(self, number: int) -> int:
        """How many pictures an epoch trains on; the first has number 1."""
        return self.n - self.skipped if 1 < number <= self.last else self.n

    def after(self, number: int, last: int) -> int:
        """How many pictures the epochs after one train on, up to the last, each as often as it is trained on."""
        return sum(map(self.pictures, range(number + 1, last + 1)))

    def shares(self, number: int, losses: np.ndarray, seed: int) -> np.ndarray | None:
        """Factors (n,) for the weights of pictures, 0 of those that are skipped, 1 in the mean of the others.

        `losses` (n,) are those of the last time that each was trained on. None where nothing is skipped, as while a
        loss is unknown.
        """
        if self.pictures(number) == self.n or not np.isfinite(losses).all():
            return None
        easy = np.argsort(losses, kind="stable")[: round(EASY * self.n)]
        shares = np.ones(self.n)
        shares[easy] = len(easy) / (len(easy) - self.skipped)
        shares[np.random.default_rng([seed, number, 1]).choice(easy, self.skipped, replace=False)] = 0
        return shares * ((self.n - self.skipped) / self.n)
