"""Build a backbone as one Keras model from uint8 pictures to embeddings. Keras is imported when called."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from cache.errors import UserError
from extract import efficientnet_lite
from extract.backbones import Backbone, family
from extract.preprocessing import preprocess

if TYPE_CHECKING:
    import keras


def build_embedder(backbone: Backbone) -> "keras.Model":
    """Build preprocessing, backbone and pooling as one model.

    Returns
    -------
    keras.Model
        (B, s, s, 3) uint8 RGB to (B, D) float32.

    Raises
    ------
    UserError
        If the weights are not there, cannot be downloaded, or belong to another network.
    """
    import keras
    from keras import layers

    keras.config.set_dtype_policy("mixed_float16" if backbone.precision == "float16" else "float32")
    if backbone.weights == "none":
        keras.utils.set_random_seed(0)
    size = backbone.input_size
    pixels = keras.Input((size, size, 3), dtype="uint8", name="pixels")
    x = preprocess(pixels, family(backbone.name).preprocessing)
    x = build_backbone(backbone)(x)
    if backbone.pooling == "avg":
        x = layers.GlobalAveragePooling2D(dtype="float32")(x)
    elif backbone.pooling == "max":
        x = layers.GlobalMaxPooling2D(dtype="float32")(x)
    else:
        x = layers.Flatten(dtype="float32")(x)
    return keras.Model(pixels, x, name=f"{backbone.name}_embedder")


def build_backbone(backbone: Backbone) -> "keras.Model":
    """Build the network without classifier: (B, s, s, 3) preprocessed float to (B, h, w, c) feature maps."""
    if not family(backbone.name).constructor:
        return efficientnet_lite.build(backbone.name, backbone.input_size, backbone.weights_file)
    import keras

    constructor = getattr(keras.applications, family(backbone.name).constructor)
    weights = {"pretrained": "imagenet", "none": None}.get(backbone.weights, backbone.weights)
    shape = (backbone.input_size, backbone.input_size, 3)
    try:
        return constructor(weights=weights, include_top=False, input_shape=shape)
    # Keras reports a failed download as a bare Exception and a wrong file as one of several kinds.
    except Exception as error:
        if backbone.weights == "pretrained":
            raise UserError(
                f"Expected to find or download the ImageNet weights of {backbone.name}: {error}. Check the "
                "network, or fetch the file elsewhere and pass it with --weights FILE, or use the default "
                "backbone, whose weights are installed with coldframe."
            ) from error
        if backbone.weights != "none":
            raise UserError(
                f"Expected weights of {backbone.name} without its classifier, received {backbone.weights}: {error}"
            ) from error
        raise


def hash_weights(model: "keras.Model") -> str:
    """SHA-256 over a model's weight tensors (dtype, shape and bytes) in the model's own order, as hex.

    Layer names are left out: Keras numbers unnamed layers by how many models were built before.
    """
    digest = hashlib.sha256()
    for weight in model.weights:
        array = np.ascontiguousarray(weight)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
