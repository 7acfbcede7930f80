"""The user's own model in a .keras file as a backbone, loaded in Keras' safe mode. Keras is imported when called."""

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from extract.backbones.external.graph import flatten, graph_of, reason_of
from extract.backbones.external.signature import PictureInput, choose_output, read_input

if TYPE_CHECKING:
    import keras

CONFIG = "config.json"
AS_SAVED_MODEL = "Or run model.export('folder') where the model was made, and pass savedmodel:folder."


def locate(where: str) -> tuple[str, Path, str]:
    """Find a .keras file: where it is for good, its path, and the SHA-256 of its bytes."""
    path = Path(os.path.expanduser(where)).resolve()
    if path.suffix in (".h5", ".hdf5"):
        raise UserError(
            f"Expected a .keras file after keras:, received {path}: a file of the old kind can hold code. Load and "
            "save it where you trust it: keras.models.load_model(FILE).save('model.keras')."
        )
    if not path.is_file() or path.suffix != ".keras":
        what = "a file of another kind" if path.is_file() else "which is not there"
        raise UserError(f"Expected a .keras file after keras:, received {path}, {what}.")
    with path.open("rb") as file:
        return str(path), path, hashlib.file_digest(file, "sha256").hexdigest()


def describe(path: Path, output: str, model: str) -> tuple[str, int, str]:
    """Tell a model's name in a space, its input size (0: any) and its usual preprocessing."""
    loaded = _load(path, model)
    size = _pictures(loaded, model).size
    _outputs(graph_of(loaded).output, loaded, output, model)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read(CONFIG))
    graph = json.dumps(_graph(config), sort_keys=True)
    return f"{loaded.name}-{hashlib.sha256(graph.encode()).hexdigest()[:12]}", size, "none"


def build(path: Path, output: str, model: str, size: int, weights: str) -> "keras.Model":
    """Build (B, s, s, 3) float to the model's output as one flat graph, models inside the model opened.

    Raises
    ------
    UserError
        If the file cannot be loaded safely, or the model takes no pictures of this size.
    """
    import keras

    loaded = _load(path, model)
    takes = _pictures(loaded, model)
    try:
        pixels, given = flatten(loaded, size, takes.dtype)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"Expected {model} to take pictures of {size} pixels, but: {reason_of(error)}. Pass the --input-size that "
            "it was made for."
        ) from error
    return keras.Model(pixels, _outputs(given, loaded, output, model), name=loaded.name)


def _graph(config: Any) -> Any:
    """A configuration without what the model was compiled with, and without addresses in some process' memory."""
    if isinstance(config, list):
        return [_graph(part) for part in config]
    if isinstance(config, dict):
        return {
            key: _graph(part)
            for key, part in config.items()
            if key not in ("compile_config", "shared_object_id")
        }
    return config


def _load(path: Path, model: str) -> Any:
    import keras

    try:
        with zipfile.ZipFile(path) as archive:
            if CONFIG not in archive.namelist():
                raise zipfile.BadZipFile(f"it has no {CONFIG}")
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"its member {damaged} is damaged")
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise UserError(
            f"Expected a .keras file in {path}, but: {error}. Save the model again: model.save('model.keras')."
        ) from error
    # Keras reports code, unknown classes and weights that do not fit as several kinds of error.
    except Exception as error:
        text = str(error)
        if "Lambda" in text or "safe_mode" in text or "safe mode" in text:
            raise UserError(
                f"Expected a model without code of its own, received {path}, which has a Lambda layer or the like: "
                "Keras' safe mode refuses it. Use layers (Rescaling, Normalization) or keras.ops in its place, and "
                f"save the model again. {AS_SAVED_MODEL}"
            ) from error
        raise UserError(
            f"Expected a model of Keras' own layers in {path}, but: {reason_of(error)}. Save it again with "
            f"the Keras that is installed here. {AS_SAVED_MODEL}"
        ) from error


def _pictures(loaded: Any, model: str) -> PictureInput:
    inputs = getattr(loaded, "inputs", None) or []
    if graph_of(loaded) is None:
        raise UserError(
            f"Expected a Functional or Sequential model in {model}, received {type(loaded).__name__}, which does not "
            f"show its layers. {AS_SAVED_MODEL}"
        )
    takes = read_input({str(number): tensor for number, tensor in enumerate(inputs)})
    if takes is None:
        listed = ", ".join(f"{tensor.dtype} {tensor.shape}" for tensor in inputs)
        raise UserError(
            f"Expected a model that takes one batch of square pictures, (B, s, s, 3), and nothing else; {model} "
            f"takes {listed}."
        )
    return takes


def _outputs(given: Any, loaded: Any, output: str, model: str) -> Any:
    """Pick the output that is the embedding out of what a graph gives."""
    if isinstance(given, list | tuple) and len(given) == 1:
        (given,) = given
    if not isinstance(given, dict | list | tuple):
        given = [given]
    names = graph_of(loaded).output_names
    named = given if isinstance(given, dict) else dict(zip(names, given, strict=True))
    return named[choose_output({name: tensor.shape for name, tensor in named.items()}, output, model)]
