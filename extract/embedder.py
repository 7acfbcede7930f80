"""Build a backbone as one Keras model from uint8 pictures to embeddings. Keras is imported when called."""

import difflib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

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
        (B, s, s, 3) uint8 RGB to (B, D) float32; to (B, h, w, c) where the pooling names a layer, and then nothing
        above that layer is part of the model.

    Raises
    ------
    UserError
        If the weights are not there, cannot be downloaded, or belong to another network, or if the network has
        no such layer.
    """
    import keras

    keras.config.set_dtype_policy("mixed_float16" if backbone.precision == "float16" else "float32")
    if backbone.weights == "none":
        keras.utils.set_random_seed(0)
    size = backbone.input_size
    pixels = keras.Input((size, size, 3), dtype="uint8", name="pixels")
    x = preprocess(pixels, family(backbone.name).preprocessing)
    network = build_backbone(backbone)
    if backbone.layer is not None:
        network = keras.Model(network.inputs[0], _layer_output(network, backbone.layer))
    return keras.Model(pixels, pool(network(x), backbone.pooling), name=f"{backbone.name}_embedder")


def pool(features: Any, pooling: str) -> Any:
    """Reduce feature maps (B, h, w, c) to embeddings (B, D) float32; a pooling that names a layer leaves them."""
    from keras import layers

    if pooling == "avg":
        return layers.GlobalAveragePooling2D(dtype="float32")(features)
    if pooling == "max":
        return layers.GlobalMaxPooling2D(dtype="float32")(features)
    if pooling == "flatten":
        return layers.Flatten(dtype="float32")(features)
    return features


def build_backbone(backbone: Backbone) -> "keras.Model":
    """Build the network without classifier: (B, s, s, 3) preprocessed float to (B, h, w, c) feature maps.

    Layers are called the same in every process, so that a name in a `Backbone` means one layer for ever.
    """
    import keras

    policy = keras.config.dtype_policy()

    def build() -> "keras.Model":
        keras.config.set_dtype_policy(policy)
        return _build_backbone(backbone)

    # Keras counts unnamed layers (conv2d, conv2d_1, ...) a thread; in a new one it begins at the beginning.
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(build).result()


def _build_backbone(backbone: Backbone) -> "keras.Model":
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


def _layer_output(network: "keras.Model", name: str) -> Any:
    names = [layer.name for layer in network.layers if layer.output is not network.input]
    if name not in names:
        near = difflib.get_close_matches(name, names, cutoff=0.5) or names[-3:]
        raise UserError(
            f"Expected a layer of {network.name} such as {', '.join(near)}; received {name!r}. The network has "
            f"{len(names)} layers, from {names[0]} to {names[-1]}."
        )
    return network.get_layer(name).output


def network_of(embedder: "keras.Model") -> "keras.Model":
    """The backbone inside an embedder: (B, s, s, 3) preprocessed to (B, h, w, c)."""
    import keras

    return next(layer for layer in embedder.layers if isinstance(layer, keras.Model))


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
