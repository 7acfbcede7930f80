"""A data set as classifiers see it: samples and their embeddings, row by row."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.manifest import Manifest
from cache.space import Space
from cache.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Block:
    """Columns `start` to `stop` of an `Embedded.embedding`: a part of one space's rows, "" for rows that are whole."""

    space: Space
    part: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Embedded:
    """The samples of a data set that have an embedding in a space, or in each of several."""

    name: str
    stores: tuple[Store, ...]  # at least one
    manifest: Manifest  # only the rows that have an embedding in every store
    missing: int  # rows of the whole manifest without one
    refused: int = 0  # those of them that `extract` has rejected: no pictures, or damaged ones
    lacking: tuple[int, ...] = ()  # how many rows each store lacks without having rejected them

    @property
    def store(self) -> Store:
        """The first of the stores."""
        return self.stores[0]

    @property
    def space(self) -> Space:
        """The first of the spaces."""
        return self.store.space

    @property
    def spaces(self) -> tuple[Space, ...]:
        """Those of the stores."""
        return tuple(store.space for store in self.stores)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The parts of `embedding`, from left to right."""
        found, start = list[Block](), 0
        for store in self.stores:
            width = store.shards()[0].shape[-1]
            parts = [(part.name, part.start, part.stop) for part in store.space.parts] or [("", 0, width)]
            found += [Block(store.space, name, start + first, start + last) for name, first, last in parts]
            start += width
        return tuple(found)

    def alone(self) -> Embedded:
        """Return this, if it is in a single space.

        Raises
        ------
        UserError
            When it is not.
        """
        if len(self.stores) > 1:
            ids = ", ".join(f"{space.id[:12]} ({space.backbone})" for space in self.spaces)
            raise UserError(
                f"Expected one space, received {len(self.stores)}: {ids}. Name one of them with --space."
            )
        return self

    @property
    def top(self) -> slice:
        """Columns of the first space's plain embedding: its row, or the last part of it."""
        last = [block for block in self.blocks if block.space == self.space][-1]
        return slice(last.start, last.stop)

    def within(self, spaces: Collection[Space]) -> Embedded:
        """The same samples in some of the spaces alone."""
        if all(space in spaces for space in self.spaces):
            return self  # with what was read already
        return replace(self, stores=tuple(store for store in self.stores if store.space in spaces))

    @cached_property
    def embedding(self) -> NDArray[np.float32]:
        """(n, D) float32 in manifest order, the spaces side by side; read when first asked for."""
        rows = [store.gather(self.manifest.key, self.manifest.paths) for store in self.stores]
        return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)

    def to_frame(self) -> pd.DataFrame:
        """Return the samples, row by row those of `embedding`; see `Manifest.to_frame`."""
        return self.manifest.to_frame()
