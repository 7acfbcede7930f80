"""What a driver and its workers tell one another: tasks, blocks of files, news of them. Never a picture, nor a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cache.manifest import Manifest
from cache.storage.rejects import Reject
from extract.backbones.backbone import Backbone
from extract.pictures.augmentation import View
from extract.settings import Decoding, Options


@dataclass(frozen=True)
class Task:
    """What an `Extractor` is made of, and the space that it must lead to."""

    workspace: str  # as `Workspace.locate` takes it
    backbone: Backbone
    decoding: Decoding
    options: Options
    view: View | None
    space: str  # its id


@dataclass(frozen=True)
class Block:
    """Files of a manifest: a cut out of it, and where each one stands in the whole."""

    manifest: Manifest
    rows: np.ndarray  # (n,) int


class Ready(NamedTuple):
    """Where a worker is, by what it computes for each task, and what it said meanwhile."""

    host: str
    engines: list[str]
    notes: list[str]


@dataclass(frozen=True)
class News:
    """What a worker has read since it told last: n files."""

    rows: np.ndarray  # (n,) int, in the whole manifest
    key: np.ndarray  # (n, 32) uint8
    size: np.ndarray  # (n,) int64
    mtime_ns: np.ndarray  # (n,) int64
    rejects: list[tuple[int, int, Reject]]  # with the row, and the number of the task
    notes: list[str]
    room: int  # files that it would take now
    idle: bool  # whatever it was given is safe
