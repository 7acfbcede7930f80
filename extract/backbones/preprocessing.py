"""What each family of backbones was trained to see, as Keras layers, so that it travels with the model."""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cache.errors import UserError

if TYPE_CHECKING:
    import keras

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, pictures in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR, pictures in [0, 255]

PREPROCESSING = {
    "lite": "(x - 127) / 128",
    "tf": "x / 127.5 - 1",
    "torch": "(x / 255 - mean) / std of ImageNet",
    "caffe": "BGR, minus ImageNet's mean",
    "unit": "x / 255",
    "none": "inside the backbone",
}
_AFFINE = re.compile(r"x \* (\[.*\]) \+ (\[.*\])")


def affine(scale: Sequence[float], offset: Sequence[float]) -> str:
    """Name the preprocessing ``x * scale + offset``, by channel, with RGB in [0, 255]; its text is the same."""
    return f"x * {json.dumps(list(scale))} + {json.dumps(list(offset))}"


def text_of(mode: str) -> str:
    """What a mode does to a picture, for the space."""
    return PREPROCESSING.get(mode, mode)


def mode_of(text: str) -> str | None:
    """The mode of a text; None for one that this version does not know."""
    if _AFFINE.fullmatch(text):
        return text
    return next((mode for mode, known in PREPROCESSING.items() if known == text), None)


def preprocess(pixels: "keras.KerasTensor", mode: str) -> Any:
    """Add the layers of preprocessing `mode` to a functional graph.

    Parameters
    ----------
    pixels : KerasTensor of shape (B, h, w, 3)
        RGB in [0, 255], any dtype.
    mode : str
        A key of `PREPROCESSING`, or what `affine` gives; ``tf``, ``torch`` and ``caffe`` are those of
        ``keras.applications.imagenet_utils.preprocess_input``.

    Returns
    -------
    KerasTensor of shape (B, h, w, 3), float
    """
    from keras import layers, ops

    if mode == "lite":
        return layers.Rescaling(1 / 128, -127 / 128)(pixels)
    if mode == "tf":
        return layers.Rescaling(1 / 127.5, -1.0)(pixels)
    if mode == "torch":
        scale = [1 / (255 * s) for s in IMAGENET_STD]
        offset = [-m / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
        return layers.Rescaling(scale, offset)(pixels)
    if mode == "caffe":
        bgr = ops.flip(pixels, axis=-1)
        return layers.Rescaling(1.0, [-m for m in CAFFE_MEAN])(bgr)
    if mode == "unit":
        return layers.Rescaling(1 / 255)(pixels)
    if mode == "none":
        return layers.Rescaling(1.0)(pixels)
    if numbers := _AFFINE.fullmatch(mode):
        return layers.Rescaling(*map(json.loads, numbers.groups()))(pixels)
    raise UserError(f"Expected a preprocessing out of {', '.join(PREPROCESSING)}; received {mode!r}.")
