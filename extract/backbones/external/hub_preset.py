"""Presets of KerasHub as backbones: ViT, DINOv2, SigLIP and the like. KerasHub is imported when called."""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from extract.backbones.external.downloads import hash_folder
from extract.backbones.external.graph import flatten, reason_of
from extract.backbones.external.signature import PictureInput, choose_output, read_input
from extract.backbones.preprocessing import affine

if TYPE_CHECKING:
    import keras

CONFIG = "config.json"
_APART = ("name", "trainable", "dtype")  # of a configuration: they do not change what is computed


def locate(where: str) -> tuple[str, str, str]:
    """Find a preset: where it is for good, what KerasHub calls it, and a hash of its files or of its name.

    Raises
    ------
    UserError
        If KerasHub is not installed, or a folder is named that is not there or holds no preset.
    """
    check_installed()
    path = Path(os.path.expanduser(where))
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise UserError(
                f"Expected a preset of KerasHub in {path}, received a folder without {CONFIG}. "
                "backbone.save_to_preset(folder) writes one."
            )
        path = path.resolve()
        return str(path), str(path), hash_folder(path)
    if where.startswith((".", "~", os.sep)):
        raise UserError(
            f"Expected a preset's name or folder after kerashub:, received {where}, which is not there."
        )
    # What a name stands for is fixed by the version of KerasHub, which lists handles with their versions.
    version = importlib.metadata.version("keras-hub")
    return where, where, hashlib.sha256(f"{where} in keras-hub {version}".encode()).hexdigest()


def check_installed() -> None:
    """Raise UserError where KerasHub is missing."""
    if importlib.util.find_spec("keras_hub") is None:
        raise UserError(
            "Expected KerasHub for kerashub: backbones, found none. Run `pip install 'coldframe[kerashub]'`."
        )


def from_hub(facts: Mapping[str, Any]) -> bool:
    """Tell from what is known of a model whether its network is a preset of KerasHub."""
    return str(facts.get("backbone", "")).startswith("kerashub:")


def register() -> None:
    """Make KerasHub's layers known to Keras, for a model that has some.

    Raises
    ------
    UserError
        If KerasHub is not installed.
    """
    check_installed()
    import keras_hub  # noqa: F401


def loadable(config: Any) -> Any:
    """Drop from a model's configuration what KerasHub's layers put there and do not take back.

    Of its version 0.32 the layers of ViT cannot be loaded from the configuration that they write themselves.
    """
    if isinstance(config, list):
        return [loadable(part) for part in config]
    if not isinstance(config, dict):
        return config
    config = {key: loadable(value) for key, value in config.items()}
    if str(config.get("module")).startswith("keras_hub.") and isinstance(config.get("config"), dict):
        made = getattr(importlib.import_module(config["module"]), config["class_name"])
        taken = {*inspect.signature(made.__init__).parameters, *_APART}
        config["config"] = {key: value for key, value in config["config"].items() if key in taken}
    return config


def describe(preset: str, output: str, model: str) -> tuple[str, int, str]:
    """Tell a preset's name in a space, its input size (0: any) and the preprocessing of its image converter."""
    part = _vision(_load(preset, model, "none"), model)
    converter = _converter(preset)
    size = _pictures(part, model).size
    if not size and converter is not None and converter.image_size:
        height, width = converter.image_size
        size = height if height == width else 0
    _outputs(part.output, part, output, model)
    config = {key: value for key, value in part.get_config().items() if key not in _APART}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return f"{type(part).__name__}-{digest}", size, _preprocessing(converter)


def build(preset: str, output: str, model: str, size: int, weights: str) -> "keras.Model":
    """Build (B, s, s, 3) float to the preset's output, in the dtype policy that is set.

    Raises
    ------
    UserError
        If the preset cannot be had, or takes no pictures of this size.
    """
    import keras

    part = _vision(_load(preset, model, weights), model)
    try:
        pixels, given = flatten(part, size, _pictures(part, model).dtype)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"Expected {model} to take pictures of {size} pixels, but: {reason_of(error)}. Leave --input-size out."
        ) from error
    return keras.Model(pixels, _outputs(given, part, output, model), name=part.name)


def _load(preset: str, model: str, weights: str) -> Any:
    import keras

    os.environ.setdefault("KERAS_BACKEND", keras.backend.backend())
    import keras_hub

    policy = keras.config.dtype_policy().name
    try:
        return keras_hub.models.Backbone.from_preset(preset, load_weights=weights != "none", dtype=policy)
    # Each of the places that presets come from reports a failed download in its own way.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if reason.endswith(":"):  # before a list
            reason = reason.rpartition(". ")[0] + "."
        raise UserError(
            f"Expected to find or download {model}, but: {reason} Check the name (keras.io/keras_hub/presets) and "
            "the network, or download the preset elsewhere and pass its folder: --backbone kerashub:FOLDER."
        ) from error


def _vision(backbone: Any, model: str) -> Any:
    """The part that takes pictures, where a model takes pictures and text."""
    if len(backbone.inputs) == 1:
        return backbone
    part = getattr(backbone, "vision_encoder", None)
    if part is None or not getattr(part, "inputs", None):
        listed = ", ".join(tensor.name for tensor in backbone.inputs)
        raise UserError(f"Expected a preset that takes pictures alone, {model} takes {listed}.")
    return part


def _pictures(part: Any, model: str) -> PictureInput:
    takes = read_input({tensor.name: tensor for tensor in part.inputs})
    if takes is None:
        listed = ", ".join(f"{tensor.name}: {tensor.dtype} {tensor.shape}" for tensor in part.inputs)
        raise UserError(
            f"Expected a preset that takes one batch of square pictures, (B, s, s, 3); {model} takes {listed}."
        )
    return takes


def _outputs(given: Any, part: Any, output: str, model: str) -> Any:
    if isinstance(given, list | tuple):
        given = {str(number): tensor for number, tensor in enumerate(given)}
    if not isinstance(given, dict):
        given = {part.output_names[0]: given}
    return given[choose_output({name: tensor.shape for name, tensor in given.items()}, output, model)]


def _converter(preset: str) -> Any:
    """What a preset does to pictures; None if it does not say."""
    import keras_hub

    try:
        return keras_hub.layers.ImageConverter.from_preset(preset)
    except (ValueError, FileNotFoundError, KeyError, TypeError):  # as KerasHub says that there is none
        return None


def _preprocessing(converter: Any) -> str:
    if converter is None or (converter.scale is None and converter.offset is None):
        return "none"
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return affine(*([float(number) for number in _three(value)] for value in (scale, offset)))


def _three(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value] * 3
