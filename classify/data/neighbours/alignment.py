"""How like two thumbnails are, laid over each other as well as a small shift, turn, stretch and shear can.

Axes: k pairs; s = 32 pixels a side, of which the inner w = 24 are compared; p = 6 numbers of an affine map.
"""

import numpy as np
from numpy.typing import NDArray

from extract.pictures.thumbnail import SIDE

MARGIN = 4  # pixels at each edge that a crop or a turn may have cut off
_STEPS = 12
_WINDOW = slice(MARGIN, SIDE - MARGIN)
_CENTRE = (SIDE - 1) / 2
_WIDTH = SIDE - 2 * MARGIN
_SPARSE = slice(
    MARGIN, SIDE - MARGIN, 2
)  # every other place is enough to lay smooth pictures over each other
_Y, _X = (axis.ravel() - _CENTRE for axis in np.mgrid[_SPARSE, _SPARSE].astype(np.float32))
_PLACES = np.stack([_Y, _X, np.ones_like(_X)])  # (3, w * w / 4)
_ALL = [axis.ravel() - _CENTRE for axis in np.mgrid[_WINDOW, _WINDOW].astype(np.float32)]
_ALL_PLACES = np.stack([*_ALL, np.ones_like(_ALL[0])])  # (3, w * w)
_UNIT = np.float32(12)  # pixels from the centre to the edge of the window: so all six numbers are of one size

Array = NDArray[np.float32]


def likeness(a: Array, b: Array) -> Array:
    """Correlate the fine detail of k pairs of thumbnails once the first is laid over the second.

    Baker & Matthews, "Lucas-Kanade 20 Years On", 2004, section 3.2: inverse compositional, affine; brightness and
    contrast do not count.

    Parameters
    ----------
    a, b : (k, s, s) float32
        Luma, in the same orientation.

    Returns
    -------
    (k,) float32
        -1..1. Coarse shapes, which pictures of like things share, are taken away before.
    """
    detail = _detail(_laid_over(a, b)), _detail(b[:, _WINDOW, _WINDOW])
    first, second = (_normalised(_flat(each[:, 2:-2, 2:-2])) for each in detail)
    return (first * second).sum(axis=1)


def _laid_over(a: Array, b: Array) -> Array:
    """Return of each `a` what lies under the window of its `b`: (k, w, w)."""
    smooth, target = _blurred(a), _blurred(b)
    down, right = (_inner(np.asarray(slope, np.float32)) for slope in np.gradient(target, axis=(1, 2)))
    shape = _inner(target)
    length = np.maximum(
        np.linalg.norm(shape - shape.mean(axis=1, keepdims=True), axis=1, keepdims=True), 1e-6
    )
    shape, down, right = _normalised(shape), down / length, right / length
    y, x = _Y / _UNIT, _X / _UNIT
    slopes = np.stack([down * y, down * x, down, right * y, right * x, right], axis=2)  # (k, places, p)
    slopes -= slopes.mean(axis=1, keepdims=True)
    slopes -= shape[:, :, None] * np.einsum("kn,knp->kp", shape, slopes)[:, None]
    solve = np.linalg.inv(
        np.einsum("knp,knq->kpq", slopes, slopes) + np.float32(1e-6) * np.eye(6, dtype="f4")
    )
    identity = np.eye(3, dtype=np.float32)
    placed = np.repeat(identity[None], len(a), axis=0)
    for _ in range(_STEPS):
        error = _normalised(_sampled(smooth, placed, _PLACES)) - shape
        step = np.einsum("kpq,kq->kp", solve, np.einsum("knp,kn->kp", slopes, error)).clip(-1.5, 1.5)
        move = np.repeat(identity[None], len(a), axis=0)
        move[:, :2] += step.reshape(-1, 2, 3) / np.array([_UNIT, _UNIT, 1])
        placed = placed @ np.linalg.inv(move)
    return _sampled(a, placed, _ALL_PLACES).reshape(-1, _WIDTH, _WIDTH)


def _sampled(pictures: Array, placed: Array, places: Array) -> Array:
    """Read pictures (k, s, s) between their pixels, at places (3, m) under affine maps (k, 3, 3): (k, m)."""
    at = (placed @ places)[:, :2] + np.float32(_CENTRE)
    at = at.clip(0, SIDE - 1.001)
    whole = at.astype(np.intp)
    (up, left), (y, x) = (at - whole).swapaxes(0, 1), whole.swapaxes(0, 1)
    flat, corner = _flat(pictures), y * SIDE + x

    def pixel(offset: int) -> Array:
        return np.take_along_axis(flat, corner + offset, axis=1)

    upper = pixel(0) * (1 - left) + pixel(1) * left
    lower = pixel(SIDE) * (1 - left) + pixel(SIDE + 1) * left
    return upper * (1 - up) + lower * up


def _detail(pictures: Array) -> Array:
    return pictures - _blurred(_blurred(_blurred(pictures)))


def _blurred(pictures: Array) -> Array:
    """Weigh each pixel with its neighbours by 1, 2, 1, down and across; (k, h, w)."""
    tall: Array = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.float32)
    wide: Array = (tall[:, :-2] + np.float32(2) * tall[:, 1:-1] + tall[:, 2:]) / np.float32(4)
    return (wide[:, :, :-2] + np.float32(2) * wide[:, :, 1:-1] + wide[:, :, 2:]) / np.float32(4)


def _inner(pictures: Array) -> Array:
    return _flat(pictures[:, _SPARSE, _SPARSE])


def _normalised(values: Array) -> Array:
    """Mean 0 and length 1 of each of (k, n); zeros of what does not vary."""
    centred = values - values.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def _flat(pictures: Array) -> Array:
    return pictures.reshape(len(pictures), pictures.shape[1] * pictures.shape[2])
