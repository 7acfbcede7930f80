"""A head as Keras layers; resizing, backbone and head as one model, which plain Keras can load."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from classify.models.dense import DenseHead, unroll
from classify.models.kernel import KernelHead, expand
from classify.models.linear import LinearHead, fold
from classify.models.resizing import Square, resample, square_names
from extract.settings import Decoding

if TYPE_CHECKING:
    import keras

    from classify.heads.arrays import ArrayHead
    from classify.heads.calibration import CalibratedHead
    from extract.backbones.backbone import Backbone

CLASSIFIER, HEAD, LOGITS, PROBABILITY = "classifier", "head", "logits", "probability"
_TINY = 1e-12
AnyHead = LinearHead | KernelHead | DenseHead


def closed_form(head: CalibratedHead | ArrayHead) -> AnyHead | None:
    """The head as layers of a network can express it; None where they cannot."""
    return fold(head) or expand(head) or unroll(head)


@dataclass(frozen=True, eq=False)
class Branch:
    """One of the networks of a model, and which columns of its rows the head takes; None: all of them."""

    backbone: Backbone
    decoding: Decoding
    columns: Sequence[int] | None = None
    network: keras.Model | None = (
        None  # (B, s, s, 3) preprocessed to feature maps; default: the backbone's own
    )

    @property
    def square(self) -> Square:
        """What it takes."""
        return Square(self.backbone.input_size, *self.decoding.rule)


@dataclass(frozen=True, eq=False)
class Member:
    """A head behind its networks, and its share of the answer.

    Where `mirrored`, it is asked for the mean of the rows of a picture and of its mirror image.
    """

    branches: Sequence[Branch]
    head: AnyHead
    share: float = 1.0
    mirrored: bool = False


def build_model(
    backbone: Backbone,
    decoding: Decoding,
    head: AnyHead,
    network: keras.Model | None = None,
    *,
    mirrored: bool = False,
) -> keras.Model:
    """Join resizing, preprocessing, backbone, pooling and head in one model of plain Keras layers.

    Parameters
    ----------
    backbone : Backbone
    decoding : Decoding
        Its limit does not count; where a picture has the backbone's size already, it is left alone.
    head : LinearHead, KernelHead or DenseHead
    network : keras.Model, optional
        (B, s, s, 3) preprocessed to (B, h, w, c) feature maps; default: the backbone's own.
    mirrored : bool
        The head is asked for the mean of the embeddings of a picture and of its mirror image.

    Returns
    -------
    keras.Model
        (B, h, w, 3) uint8 RGB of any size to (B, C) float32 probabilities. Its layer "classifier" takes
        (B, s, s, 3) uint8, and the layer "head" of that takes (B, D) embeddings.
    """
    return mix([Member([Branch(backbone, decoding, network=network)], head, mirrored=mirrored)])


def join(branches: Sequence[Branch], head: AnyHead) -> keras.Model:
    """Join several networks in one model, whose head takes what they give side by side; see `build_model`.

    The layer "classifier" takes a batch of each of `squares_of` the branches, in that order.
    """
    return mix([Member(branches, head)])


def mix(members: Sequence[Member]) -> keras.Model:
    """Join several heads, each behind its own networks, in one model; it answers with the mean of what they answer.

    Parameters
    ----------
    members : sequence of Member
        Their heads know the same classes, in the same order, and their shares sum to 1. Of several the layers are
        called "head_1", "head_2" and so on.

    Returns
    -------
    keras.Model
        (B, h, w, 3) uint8 RGB of any size to (B, C) float32 probabilities, the sum of share * probability; else as
        `join` makes it.
    """
    import keras

    listed = [branch for member in members for branch in member.branches]
    squares, names, number = dict[Square, Any](), set[str](), itertools.count(1)
    taken = squares_of(listed)
    for square, name in zip(taken, square_names(taken), strict=True):
        squares[square] = keras.Input((square.size, square.size, 3), dtype="uint8", name=name)
    answers = []
    for place, member in enumerate(members, 1):
        rows = [
            _row(branch, squares[branch.square], names, next(number), member.mirrored)
            for branch in member.branches
        ]
        columns = [branch.columns for branch in member.branches]
        answers.append(_answer(rows, columns, member.head, f"_{place}" if len(members) > 1 else ""))
    if len(members) > 1:
        answers = [answer * member.share for answer, member in zip(answers, members, strict=True)]
    name = "_".join(branch.backbone.name for branch in listed)
    return with_resizing(squares, sum(answers[1:], answers[0]), re.sub("[:#/]", "_", name))


def build_rows_head(
    widths: Sequence[int], columns: Sequence[Sequence[int] | None], head: AnyHead
) -> keras.Model:
    """Build a head behind networks that are elsewhere: a row (B, width) of each to (B, C) probabilities.

    Of each row it takes some columns, as of a `Branch`. The inputs are called row_1, row_2 and so on.
    """
    import keras

    rows = [keras.Input((width,), name=f"row_{number}") for number, width in enumerate(widths, 1)]
    return keras.Model(rows, _answer(rows, columns, head))


def _answer(
    rows: Sequence[Any], columns: Sequence[Sequence[int] | None], head: AnyHead, mark: str = ""
) -> Any:
    """Put what a head takes of each row side by side, and ask it; `mark` tells its layers from another head's."""
    from keras import layers, ops

    taken = [
        row if places is None else ops.take(row, list(places), axis=-1)
        for row, places in zip(rows, columns, strict=True)
    ]
    row = taken[0] if len(taken) == 1 else layers.Concatenate(dtype="float32", name="row" + mark)(taken)
    return build_head(head, int(row.shape[-1]), HEAD + mark)(row)


def squares_of(branches: Sequence[Branch]) -> list[Square]:
    """List what they take, each once."""
    return list(dict.fromkeys(branch.square for branch in branches))


def _row(branch: Branch, square: Any, names: set[str], number: int, mirrored: bool) -> Any:
    """Preprocessing, network and pooling: (B, s, s, 3) uint8 to (B, d) float32."""
    import keras
    from keras import ops

    from extract.backbones.network import build_backbone, features
    from extract.backbones.preprocessing import preprocess

    backbone, before = branch.backbone, keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16" if backbone.precision == "float16" else "float32")
    try:
        network = branch.network or build_backbone(backbone)
        if network.name in names:  # the same network twice, as with another pooling
            network.name = f"{network.name}_{number}"
        names.add(network.name)
        pixels = preprocess(square, backbone.preprocessing)
        if not mirrored:
            return features(backbone, pixels, network)
        both = features(backbone, ops.concatenate([pixels, ops.flip(pixels, axis=2)], axis=0), network)
        return ops.mean(ops.reshape(both, (2, -1, both.shape[-1])), axis=0)
    finally:
        keras.config.set_dtype_policy(before)


def with_resizing(squares: Mapping[Square, Any], probability: Any, name: str) -> keras.Model:
    """Put resizing before the graph from `squares`, each (B, s, s, 3) uint8, to `probability`, (B, C)."""
    import keras

    inputs = list(squares.values())
    classifier = keras.Model(inputs if len(inputs) > 1 else inputs[0], probability, name=CLASSIFIER)
    pixels = keras.Input((None, None, 3), dtype="uint8", name="pixels")
    resized = [resample(pixels, square.size, square.resize, square.resizer) for square in squares]
    return keras.Model(pixels, classifier(resized if len(resized) > 1 else resized[0]), name=name)


def build_head(head: AnyHead, width: int, name: str = HEAD) -> keras.Model:
    """Build a head as Keras layers, (B, D) float32 embeddings to (B, C) float32 probabilities.

    The layer "logits" gives what the softmax is taken of. Of a LinearHead it is a Dense layer with the head's
    own kernel and bias.
    """
    import keras
    from keras import layers

    embedding = keras.Input((width,), dtype="float32", name="embedding")
    probability = layers.Softmax(dtype="float32", name=PROBABILITY)(_logits(embedding, head))
    return keras.Model(embedding, probability, name=name)


def attach_head(features: Any, pooling: str, head: AnyHead) -> Any:
    """Add pooling and head to feature maps (B, h, w, c) of a functional graph: (B, C) float32 logits."""
    from extract.backbones.network import pool

    return _logits(pool(features, pooling), head)


def _logits(x: Any, head: AnyHead) -> Any:
    from keras import ops

    if head.scaling == "length":
        x = _unit_length(x, head.widths)
    elif head.scaling == "root":
        # The root of zero has no gradient (NaN under XLA), and networks with ReLU give many zeros.
        x = ops.sign(x) * ops.sqrt(ops.maximum(ops.abs(x), _TINY))
    if isinstance(head, LinearHead):
        return _dense(x, head.kernel, head.bias, LOGITS)
    return _perceptron(x, head) if isinstance(head, DenseHead) else _expansion(x, head)


def _unit_length(x: Any, widths: tuple[int, ...]) -> Any:
    """Divide each row, or each of its parts, by its length."""
    from keras import layers, ops

    if not widths:
        return layers.UnitNormalization(dtype="float32", name="length")(x)
    parts = ops.split(x, np.cumsum(widths)[:-1].tolist(), axis=-1)
    units = [
        layers.UnitNormalization(dtype="float32", name=f"length_{number}")(part)
        for number, part in enumerate(parts, 1)
    ]
    return ops.concatenate(units, axis=-1)


def _dense(x: Any, kernel: np.ndarray, bias: np.ndarray, name: str) -> Any:
    from keras import layers

    layer = layers.Dense(kernel.shape[1], dtype="float32", name=name)
    x = layer(x)
    layer.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return x


def _perceptron(x: Any, head: DenseHead) -> Any:
    """Logits of a DenseHead."""
    from keras import layers, ops

    for number, (kernel, bias) in enumerate(zip(head.kernels, head.biases, strict=True), 1):
        x = _dense(x, kernel, bias, f"dense_{number}")
        if number < len(head.kernels):
            x = ops.relu(x)
    if head.floor is not None:
        x = ops.maximum(ops.log_softmax(x, axis=-1), head.floor)
    return layers.Activation("linear", dtype="float32", name=LOGITS)(x / head.temperature)


def _expansion(x: Any, head: KernelHead) -> Any:
    """Logits of a KernelHead: distances as |z|^2 + |s|^2 - 2 z.s, and each class's weakest duel."""
    from keras import layers, ops

    # Not the layer Normalization: it holds its figures as constants, which the export to ONNX takes for inputs.
    scaler = layers.BatchNormalization(epsilon=0.0, trainable=False, dtype="float32", name="standard")
    scaler.build(x.shape)
    ones = np.ones_like(head.scale)
    scaler.set_weights([1 / head.scale, -head.mean / head.scale, 0 * ones, ones])
    x = scaler(x)
    if head.support is not None:
        near = _dense(
            x, 2 * head.gamma * head.support.T, -head.gamma * (head.support**2).sum(axis=1), "support"
        )
        x = ops.exp(near - head.gamma * ops.sum(x * x, axis=-1, keepdims=True))
    count = len(head.classes)
    if count == 2:  # the first class scores 0
        kernel = np.hstack([np.zeros_like(head.kernel), head.kernel])
        return _dense(x, kernel, np.concatenate([[0.0], head.bias]), LOGITS)
    if not head.duels:
        return _dense(x, head.kernel, head.bias, LOGITS)
    margins = _dense(x, head.kernel, head.bias, "duels")
    duels = np.zeros((count, count), int)  # column of each class's duel with each other, seen from its side
    first, second = np.triu_indices(count, 1)
    duels[first, second] = np.arange(len(first))
    duels[second, first] = np.arange(len(first)) + len(first)
    own = duels[~np.eye(count, dtype=bool)]
    both = ops.take(ops.concatenate([margins, -margins], axis=-1), own.tolist(), axis=-1)
    weakest = ops.min(ops.reshape(both, (-1, count, count - 1)), axis=-1)
    return layers.Activation("linear", dtype="float32", name=LOGITS)(weakest)
