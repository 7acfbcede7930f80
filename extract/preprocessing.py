"""What each family of backbones was trained to see, as Keras layers, so that it travels with the model."""

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
    "none": "inside the backbone",
}


def preprocess(pixels: "keras.KerasTensor", mode: str) -> Any:
    """Add the layers of preprocessing `mode` to a functional graph.

    Parameters
    ----------
    pixels : KerasTensor of shape (B, h, w, 3)
        RGB in [0, 255], any dtype.
    mode : str
        A key of `PREPROCESSING`; ``tf``, ``torch`` and ``caffe`` are those of
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
    if mode == "none":
        return layers.Rescaling(1.0)(pixels)
    raise UserError(f"Expected a preprocessing out of {', '.join(PREPROCESSING)}; received {mode!r}.")
