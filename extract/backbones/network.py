"""Build a backbone as one Keras model from uint8 pictures to embeddings. Keras is imported when called."""

import contextlib
import difflib
import hashlib
import random
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.space import LAYER
from extract.backbones import efficientnet_lite
from extract.backbones.backbone import AT, Backbone
from extract.backbones.external import kinds
from extract.backbones.families import family
from extract.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD, preprocess
from extract.backbones.stages import stage_maps
from extract.settings import EVERY_STAGE

if TYPE_CHECKING:
    import keras


def build_embedder(backbone: Backbone) -> "keras.Model":
    """Build preprocessing, backbone and pooling as one model.

    Returns
    -------
    keras.Model
        (B, s, s, 3) uint8 RGB to (B, D) float32; to (B, h, w, c) where the pooling is a layer's raw output. Where it
        names a layer, nothing above that layer is part of the model.

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
    x = preprocess(pixels, backbone.preprocessing)
    return keras.Model(pixels, features(backbone, x), name=f"{backbone.name.partition(':')[0]}_embedder")


def features(backbone: Backbone, x: Any, network: "keras.Model | None" = None) -> Any:
    """Add a backbone and its pooling to a graph: (B, s, s, 3) preprocessed pictures to (B, D) float32 embeddings.

    network : keras.Model, optional
        As `build_backbone` gives it, which is the default.
    """
    return pool((network or build_backbone(backbone))(x), backbone.pooling)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Put back Keras's dtype policy, and Python's and NumPy's global random states: a notebook has its own."""
    import keras

    policy, python, numpy = keras.config.dtype_policy(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(python)
        np.random.set_state(numpy)


def pool(features: Any, pooling: str) -> Any:
    """Reduce features (B, ..., c) to embeddings (B, D) float32; a layer's raw output is left alone.

    Feature maps (B, h, w, c) and tokens (B, T, c) are pooled or flattened; rows (B, D) are what they are. The maps of
    every stage, a list, are averaged and put side by side.
    """
    from keras import layers

    if pooling.startswith(LAYER):
        return features
    if pooling == EVERY_STAGE:
        return layers.Concatenate(dtype="float32")([pool(maps, "avg") for maps in features])
    how, rank = pooling.partition(AT)[0], len(features.shape)
    if how == "flatten" or rank == 2:
        return layers.Flatten(dtype="float32")(features)
    table = {
        ("avg", 3): layers.GlobalAveragePooling1D,
        ("avg", 4): layers.GlobalAveragePooling2D,
        ("avg", 5): layers.GlobalAveragePooling3D,
        ("max", 3): layers.GlobalMaxPooling1D,
        ("max", 4): layers.GlobalMaxPooling2D,
        ("max", 5): layers.GlobalMaxPooling3D,
    }
    if (how, rank) not in table:
        raise UserError(
            f"Expected features of shape (B, D), (B, T, c) or (B, h, w, c), received {tuple(features.shape)}. Pass "
            "--pooling flatten, or name another layer or output."
        )
    return table[how, rank](dtype="float32")(features)


def build_backbone(backbone: Backbone) -> "keras.Model":
    """Build the network without classifier: (B, s, s, 3) preprocessed float to (B, h, w, c) feature maps.

    It ends with the layer that the pooling names, if it names one; for every stage it gives a list, the network's own
    end last. Layers are called the same in every process, so
    that a name in a `Backbone` means one layer for ever.
    """
    import keras

    policy = keras.config.dtype_policy()

    def build() -> "keras.Model":
        keras.config.set_dtype_policy(policy if backbone.halves else "float32")
        try:
            network = _whole(backbone)
        finally:
            keras.config.set_dtype_policy(policy)
        if backbone.pooling == EVERY_STAGE:
            named = () if backbone.location else family(backbone.name).ends
            return keras.Model(network.inputs[0], stage_maps(network, named), name=network.name)
        if backbone.layer is None:
            return network
        return below(network, backbone.layer)

    # Keras counts unnamed layers (conv2d, conv2d_1, ...) a thread; in a new one it begins at the beginning.
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(build).result()


def _whole(backbone: Backbone) -> "keras.Model":
    if backbone.location:
        return kinds.build(backbone.location, backbone.digest, backbone.input_size, backbone.weights)
    if not family(backbone.name).constructor:
        return efficientnet_lite.build(backbone.name, backbone.input_size, backbone.weights_file)
    import keras

    constructor = getattr(keras.applications, family(backbone.name).constructor)
    weights = {"pretrained": "imagenet", "none": None}.get(backbone.weights, backbone.weights)
    shape = (backbone.input_size, backbone.input_size, 3)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # one for each layer that a file of another network leaves as it is
            network = constructor(weights=weights, include_top=False, input_shape=shape)
    # Keras reports a failed download as a bare Exception and a wrong file as one of several kinds.
    except Exception as error:
        if backbone.weights == "pretrained":
            raise UserError(
                f"Expected to find or download the ImageNet weights of {backbone.name}: {error}. Check the "
                "network, or fetch the file elsewhere and pass it with --weights FILE, or use the default "
                "backbone, whose weights are installed with coldframe."
            ) from error
        if backbone.weights != "none":
            # Keras goes on with a list of all the network's layers.
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].partition(
                " Example error"
            )[0]
            raise UserError(
                f"Expected weights of {backbone.name} without its classifier, received {backbone.weights}: "
                f"{reason.rstrip('.')}. Name the network that they belong to with --backbone, or pass a file from "
                "save_weights of this one, built with include_top=False."
            ) from error
        raise
    return _as_for_imagenet(network) if backbone.weights_file is not None else network


def _as_for_imagenet(network: "keras.Model") -> "keras.Model":
    """Add the layer that Keras builds into EfficientNet B0 to B7 for weights="imagenet" only, where it is due.

    The published weights hold ImageNet's deviations where variances belong, so Keras divides by the deviations' roots
    once more (tensorflow issue 49930); it does not for the same weights from a file. They are known by ImageNet's mean.
    """
    import keras
    from keras import layers

    def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        out = layer(*arguments, **keywords)
        if layer is normalization:
            return layers.Rescaling([deviation**-0.5 for deviation in IMAGENET_STD])(out)
        return out

    # EfficientNetV2 has a layer of that kind, too, and none of its figures are weights.
    found = [layer for layer in network.layers if isinstance(layer, layers.Normalization) and layer.weights]
    if not found or not np.allclose(np.ravel(found[0].mean), IMAGENET_MEAN, atol=1e-3):
        return network
    normalization = found[0]
    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


def below(network: "keras.Model", name: str) -> "keras.Model":
    """The network up to a layer, whose output is the only one; UserError where there is no such layer."""
    import keras

    names = [layer.name for layer in network.layers if layer.output is not network.input]
    if name not in names:
        near = difflib.get_close_matches(name, names, cutoff=0.5) or names[-3:]
        raise UserError(
            f"Expected a layer of {network.name} such as {', '.join(near)}; received {name!r}. The network has "
            f"{len(names)} layers, from {names[0]} to {names[-1]}."
        )
    return keras.Model(network.inputs[0], network.get_layer(name).output)


def parts_of(embedder: "keras.Model", pooling: str) -> list[int]:
    """The widths of the parts of an embedder's rows; none where a row is one whole."""
    return [int(maps.shape[-1]) for maps in network_of(embedder).outputs] if pooling == EVERY_STAGE else []


def network_of(embedder: "keras.Model") -> "keras.Model":
    """The backbone inside an embedder: (B, s, s, 3) preprocessed to (B, h, w, c), to a list for every stage."""
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
