"""A data set as classifiers see it: samples and their embeddings, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cache.manifest import Manifest
from cache.space import Space
from cache.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Embedded:
    """The samples of a data set that have an embedding in one space."""

    name: str
    space: Space
    manifest: Manifest  # only the rows that have an embedding
    store: Store
    missing: int  # rows of the whole manifest without an embedding
    refused: int = 0  # those of them that `extract` has rejected: no pictures, or damaged ones

    @cached_property
    def embedding(self) -> NDArray[np.float32]:
        """(n, D) float32 in manifest order; read when first asked for."""
        return self.store.gather(self.manifest.key, self.manifest.paths)

    def to_frame(self) -> pd.DataFrame:
        """Return the samples, row by row those of `embedding`; see `Manifest.to_frame`."""
        return self.manifest.to_frame()
