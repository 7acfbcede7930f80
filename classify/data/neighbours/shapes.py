"""The coarse shapes of pictures: the low frequencies of their thumbnails, as they are and turned.

Axes: n pictures; F = 8 frequencies a side; s = 32 pixels a side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.storage.rows import Rows
from cache.storage.store import Store
from extract.pictures.thumbnail import SIDE

FINE = 0.005  # share of a picture's contrast that is fine detail; with less, as digits have, all are alike
SHAPES = 0.75  # cosine of shapes, one turned as fits best, from which on a pair is looked at
FREQUENCIES = 8
_PAIRS = 16_384  # hashes compared at a time
_COARSE = 12  # a side: those that are not fine
_ANGLE = np.arange(_COARSE)[:, None] * (2 * np.arange(SIDE) + 1) * np.pi / (2 * SIDE)
_BASIS = np.cos(_ANGLE) / np.linalg.norm(
    np.cos(_ANGLE), axis=1, keepdims=True
)  # DCT-II, its lowest frequencies
_RISE = 1.0 + np.add.outer(np.arange(FREQUENCIES), np.arange(FREQUENCIES))  # low ones would drown the others
_SIGN = (-1.0) ** np.arange(FREQUENCIES)  # what a picture's mirror image makes of its frequencies


def frequencies(
    keys: NDArray[np.uint8], known: NDArray[np.bool_], thumbnails: Store, block: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Describe coarse shapes: (u, 8, 8) of length 1, without mean brightness; zeros without a thumbnail.

    The second tells which pictures have fine detail: (u,).
    """
    found = np.zeros((len(keys), FREQUENCIES, FREQUENCIES), np.float32)
    fine, places = np.zeros(len(keys), bool), np.flatnonzero(known)
    kept = Rows(thumbnails, keys[places])
    order = kept.in_file_order(np.arange(len(places)))
    for start in range(0, len(places), block):
        luma, some = kept.take(order[start : start + block]), places[order[start : start + block]]
        found[some], fine[some] = described(luma)
    return found, fine


def described(luma: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Describe the shapes of thumbnails (k, s, s), which are changed in place, as `frequencies` does."""
    luma -= luma.mean(axis=(1, 2), keepdims=True)
    wave, contrast = _BASIS @ luma @ _BASIS.T, (luma**2).sum(axis=(1, 2))
    fine = contrast - (wave**2).sum(axis=(1, 2)) > FINE * contrast  # Parseval
    wave = wave[:, :FREQUENCIES, :FREQUENCIES] * _RISE
    length = np.linalg.norm(wave, axis=(1, 2), keepdims=True)
    return (wave / np.maximum(length, 1)).astype(np.float32), fine


def orientations(frequency: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return (k, 8, 8) frequencies as of pictures in the eight orientations, in the order of `oriented`."""
    found = []
    for across in (frequency, frequency.swapaxes(1, 2)):
        for down in (across, across * _SIGN[:, None]):
            found += [down, down * _SIGN]
    return [each.astype(np.float32) for each in found]


def oriented(luma: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn one picture (s, s): 4 on the diagonal, 2 upside down, 1 left to right."""
    luma = luma.T if orientation & 4 else luma
    luma = luma[::-1] if orientation & 2 else luma
    return luma[:, ::-1] if orientation & 1 else luma


def differing(frequency: NDArray[np.float32], pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Count the bits in which the perceptual hashes of pairs (m, 2) of pictures differ, one mirrored or not: (m,).

    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1: which
    frequencies are above their median.
    """

    def bits(frequency: NDArray[np.float32]) -> NDArray[np.bool_]:
        values = (frequency / _RISE).reshape(-1, FREQUENCIES**2)[:, 1:]
        return values > np.median(values, axis=1, keepdims=True)

    found = [np.empty(0, np.intp)]
    for start in range(0, len(pairs), _PAIRS):
        a, b = frequency[pairs[start : start + _PAIRS].T]
        other = bits(b)
        found.append(np.minimum((bits(a) ^ other).sum(axis=1), (bits(a * _SIGN) ^ other).sum(axis=1)))
    return np.concatenate(found)
