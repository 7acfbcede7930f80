"""Which rows, in which view, make up the batches of an epoch: seed and number of the epoch alone decide it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from extract.pictures.augmentation import View
from extract.pictures.decoding import RejectedImage
from extract.pictures.files import load_row
from extract.settings import Decoding

READ_AHEAD = 1  # batches, besides the one that is trained on


class Activations(Protocol):
    """Gives activations at the border by row of a manifest and number of a view."""

    def take(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        """(b,) rows and (b,) views to (b, h, w, c) float32; (b, s, s, 3) uint8 where the border is the input."""
        ...


@dataclass(frozen=True)
class Batch:
    """b rows: `x` (b, h, w, c) float32 activations, `y` (b, C) float32 targets, `weight` (b,) float32.

    `places` (b,) say where they are in the rows that the batch was taken from.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    places: np.ndarray

    def filled(self, size: int) -> Batch:
        """The same in `size` rows: the first is repeated without weight, and what the others weigh keeps the mean loss.

        TensorFlow traces a step anew, for seconds, when a batch has another size than the one before.
        """
        n = len(self.x)
        rows = np.r_[np.arange(n), np.zeros(size - n, int)]
        weight = np.where(np.arange(size) < n, self.weight[rows] * np.float32(size / n), np.float32(0))
        return self if size == n else Batch(self.x[rows], self.y[rows], weight, self.places[rows])


@dataclass(frozen=True)
class TrainingRows:
    """n rows to train on or to evaluate: `rows` of the manifest, `codes` (n,) of their classes, -1 for none."""

    activations: Activations
    rows: np.ndarray
    codes: np.ndarray
    classes: int
    weight: np.ndarray | None = None  # (n,) mean 1
    views: int = 0  # augmented ones, besides the plain picture

    def __len__(self) -> int:
        return len(self.rows)

    def epoch(
        self, number: int, batch_size: int, seed: int, mixup: float = 0.0, shares: np.ndarray | None = None
    ) -> Iterator[Batch]:
        """Yield an epoch's batches in random order; their sizes differ by one at most.

        With `shares` (n,) weights are multiplied by them, and rows whose share is 0 are left out: there are as many
        batches, smaller ones, as long as there is a row for each.

        Over views + 1 epochs each picture is seen in every view once, beginning with a random one. Mixup (Zhang et
        al. 2018, arXiv 1710.09412) mixes activations, as manifold mixup does (Verma et al. 2019, arXiv 1806.05236).
        """
        first = np.random.default_rng(seed).integers(0, self.views + 1, len(self))
        view = (first + number) % (self.views + 1)
        random = np.random.default_rng([seed, number])
        order = random.permutation(len(self))
        if shares is not None:
            order = order[shares[order] > 0]
        picks = np.array_split(order, min(-(-len(self) // batch_size), len(order)))
        mixes = (
            [(random.beta(mixup, mixup), random.permutation(len(pick))) for pick in picks] if mixup else []
        )
        jobs = [
            partial(self._batch, pick, view[pick], None if shares is None else shares[pick]) for pick in picks
        ]
        for step, batch in enumerate(_ahead(jobs)):
            yield _mix(batch, *mixes[step]) if mixup else batch

    def plain(self, batch_size: int) -> Iterator[Batch]:
        """Yield all rows once in order, as plain pictures."""
        picks = np.array_split(np.arange(len(self)), -(-len(self) // batch_size))
        yield from _ahead([partial(self._batch, pick, np.zeros(len(pick), int)) for pick in picks])

    def _batch(self, pick: np.ndarray, view: np.ndarray, shares: np.ndarray | None = None) -> Batch:
        y = np.eye(self.classes + 1, self.classes, dtype=np.float32)[self.codes[pick]]  # -1: a row of zeros
        weight = np.ones(len(pick)) if self.weight is None else self.weight[pick]
        weight = weight if shares is None else weight * shares
        return Batch(self.activations.take(self.rows[pick], view), y, weight.astype(np.float32), pick)


def _mix(batch: Batch, share: float, partner: np.ndarray) -> Batch:
    a, b = np.float32(share), np.float32(1 - share)
    x = batch.x.astype(np.float32)
    return Batch(
        a * x + b * x[partner],
        a * batch.y + b * batch.y[partner],
        a * batch.weight + b * batch.weight[partner],
        batch.places,
    )


def _ahead(jobs: Sequence[Callable[[], Batch]]) -> Iterator[Batch]:
    """Run jobs in a thread, in order, a few in front of who takes the results."""
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, "batch") as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) > READ_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def load_for_training(
    manifest: Manifest,
    row: int,
    size: int,
    decoding: Decoding,
    view: View | None = None,
    *,
    again: str = "extract",
) -> np.ndarray:
    """Decode the picture of a row again, as `load_row` does.

    Raises
    ------
    UserError
        Where that fails now: it was read before. `again` names the commands that would do without it.
    """
    try:
        return load_row(manifest, row, size, decoding, view)
    except RejectedImage as error:
        raise UserError(
            f"Expected to read {manifest.paths[row]} again for training, but: {error.reason}. Restore it, or run "
            f"{again} again without it."
        ) from error
