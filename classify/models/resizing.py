"""Pictures to squares as Keras operations, with the arithmetic of decoding: the resizing travels with the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Square:
    """A picture as a network takes it: cut and resized to so many pixels a side."""

    size: int
    resize: str  # as in `extract.settings.Decoding`
    resizer: str


def square_names(squares: Sequence[Square]) -> list[str]:
    """Name the inputs of a model that takes these: by size, where there are several."""
    if len(squares) == 1:
        return ["square"]
    sizes = [square.size for square in squares]
    names = [
        f"square_{each.size}" + (f"_{each.resize}" if sizes.count(each.size) > 1 else "") for each in squares
    ]
    return [
        name + (f"_{each.resizer}" if names.count(name) > 1 else "")
        for name, each in zip(names, squares, strict=True)
    ]


def resample(pixels: Any, size: int, resize: str, resizer: str) -> Any:
    """Bring pictures of any size to the square that `extract.pictures.decoding.decode` would make of them.

    Not with `keras.layers.Resizing`: that moves the centred square to whole pixels, pads before it resizes, and
    puts every layer behind it in training mode when the model is called like a function.

    Parameters
    ----------
    pixels : KerasTensor of shape (B, h, w, 3), uint8
    size : int
        Side s of the square.
    resize : {"crop", "squash", "pad"}
    resizer : {"fast", "pillow"}
        Both as in `extract.settings.Decoding`.

    Returns
    -------
    KerasTensor of shape (B, s, s, 3), uint8
        Equal to the resizer's bicubic but for one or two steps of rounding; a picture of (s, s) is unchanged.
    """
    from keras import ops

    x = ops.cast(pixels, "float32")
    # No operation gives a shape that is not known yet; the sum of ones does.
    rows, columns = ops.ones_like(x[0, :, 0, 0]), ops.ones_like(x[0, 0, :, 0])
    height, width = ops.sum(rows), ops.sum(columns)
    across = "bhwc,ws->bhsc", _weights(columns, width, height, size, resize)
    down = "bhwc,hs->bswc", _weights(rows, height, width, size, resize)
    for how, weights in (down, across) if resizer == "fast" else (across, down):
        x = _whole(ops.einsum(how, x, weights))  # both resizers round between their passes, too
    return ops.cast(x, "uint8")


def _weights(ones: Any, length: Any, other: Any, size: int, resize: str) -> Any:
    """Share of each of n pixels in each of s: (n, s), columns that sum to 1, or to 0 where the square is black.

    The bicubic filter (Keys 1981, a = -1/2), widened where pixels become fewer.
    """
    from keras import ops

    box, inner, before = (
        length,
        ops.ones_like(length) * size,
        ops.zeros_like(length),
    )  # of pixels read, pixels filled, black pixels
    if resize == "crop":
        box = ops.minimum(length, other)
    elif resize == "pad":
        inner = ops.maximum(ops.round(length * size / ops.maximum(length, other)), 1.0)
        before = ops.floor((size - inner) / 2)
    ratio = box / inner
    here = ops.cumsum(ones) - 0.5
    target = ops.subtract(np.arange(size, dtype=np.float32) + np.float32(0.5), before)
    centre = (length - box) / 2 + target * ratio
    distance = ops.abs(ops.expand_dims(here, 1) - centre) / ops.maximum(ratio, 1.0)
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    weight = ops.where(distance < 1, near, ops.where(distance < 2, far, 0.0))
    weight = weight / ops.sum(weight, axis=0, keepdims=True)
    return ops.where(ops.logical_and(target > 0, target < inner), weight, 0.0)


def _whole(x: Any) -> Any:
    from keras import ops

    return ops.clip(ops.floor(x + 0.5), 0, 255)
