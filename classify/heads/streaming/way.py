"""What problems are solved on, and how far down they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classify.data.rows.blocks import Rows

MEMORY = 10  # pairs of steps and gradient changes


@dataclass(frozen=True)
class Part:
    """Rows of one form that problems are solved on."""

    rows: Rows
    codes: np.ndarray  # (n,)
    fold: np.ndarray  # (n,)
    weight: np.ndarray | None  # (n,)

    def sample(self, which: slice) -> Part:
        """Some of the rows, in memory: a part of an order that is drawn at random."""
        some = np.sort(np.random.default_rng(0).permutation(len(self.codes))[which])
        weight = None if self.weight is None else self.weight[some]
        return Part(self.rows[some], self.codes[some], self.fold[some], weight)


@dataclass
class Way:
    """How far down problems are, and pairs of steps and gradient changes that led there, the last ones last."""

    U: np.ndarray  # (P, K, D + 1)
    steps: np.ndarray  # (MEMORY, P, K, D + 1), zeros where there are fewer
    changes: np.ndarray  # (MEMORY, P, K, D + 1)

    @classmethod
    def nowhere(cls, shape: tuple[int, ...]) -> Way:
        """P problems of which nothing is known."""
        return cls(np.zeros(shape, np.float32), *np.zeros((2, MEMORY, *shape), np.float32))

    def leave(
        self,
        gone: np.ndarray,
        U: np.ndarray,
        steps: list[np.ndarray],
        changes: list[np.ndarray],
        which: np.ndarray,
    ) -> None:
        """Keep what has become of the problems `gone`, of which there are more in the lists: `which`."""
        self.U[gone] = U[which]
        for kept, pairs in (self.steps, steps), (self.changes, changes):
            for at, pair in enumerate(reversed(pairs), 1):
                kept[-at, gone] = pair[which]
