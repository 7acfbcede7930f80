"""What reading a file gives, and the spaces that take something of it."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from cache.storage.rejects import Reject
from extract.embedding.thumbnails import Beside
from extract.pictures.decoding import limits
from extract.pictures.look import Look


@dataclass
class Read:
    """What reading one file gave each taker, by its number; nothing to those that have its row already."""

    index: int
    key: bytes = b""  # 32 bytes, none where the file could not be read
    pixels: dict[int, np.ndarray] = field(default_factory=dict)  # (s, s, 3) uint8 RGB, to embed
    rejects: dict[int, Reject] = field(default_factory=dict)


class Reader(Protocol):
    def __call__(self, indices: Sequence[int]) -> Iterator[Read]:
        """Read and hash the files of `indices`, then decode one after the other; called from several threads."""
        ...


class Claims:
    """Keys whose rows are on their way, so that the same picture twice in a run is embedded once.

    Only keys that are not sealed yet are held: the cache answers for the others.
    """

    def __init__(self, contains: Callable[[np.ndarray], np.ndarray]) -> None:
        self._contains = contains
        self._claimed: set[bytes] = set()
        self._lock = threading.Lock()

    def take(self, keys: Sequence[bytes]) -> list[bool]:
        """Claim keys; True where the caller is the one who must compute the row."""
        with self._lock:
            known = self._contains(np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 32))
            answer = []
            for key, cached in zip(keys, known, strict=True):
                answer.append(not cached and key not in self._claimed)
                self._claimed.add(key) if answer[-1] else None
            return answer

    def settle(self, keys: np.ndarray) -> None:
        """Forget claims whose rows are in the cache by now; (n, 32) uint8."""
        with self._lock:
            self._claimed.difference_update(key.tobytes() for key in keys)


@dataclass(frozen=True)
class Taker:
    """A space that takes of what is read: how its network sees a picture, and which pictures it wants."""

    look: Look
    claims: Claims
    refused: Mapping[bytes, str] = field(default_factory=dict)  # key to reason: not decoded again
    thumbnails: Beside | None = None
    facts: Beside | None = None

    def reject(self, key: bytes, path: str, reason: str) -> Reject:
        """Name a picture that this space gets no row of; its key may be unknown."""
        return Reject(key or None, path, reason, limits(self.look.decoding))


def claim(takers: Sequence[Taker], keys: Sequence[bytes]) -> list[list[int]]:
    """Name for each key the takers, by number, whose row of it is to be computed by the caller."""
    answers = [taker.claims.take(keys) for taker in takers]
    return [[number for number, mine in enumerate(each) if mine] for each in zip(*answers, strict=True)]
