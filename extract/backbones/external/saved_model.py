"""TF2 SavedModels, TF-Hub modules among them, as backbones. TensorFlow is imported when called."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from extract.backbones.external import downloads
from extract.backbones.external.signature import PictureInput, choose_output, read_input

if TYPE_CHECKING:
    import keras

GRAPH = "saved_model.pb"
USUAL = ("serving_default", "default", "serve", "image_feature_vector")


@dataclass(frozen=True)
class Endpoint:
    """A function of a SavedModel that takes pictures, and the output of it that is the embedding."""

    name: str
    takes: PictureInput
    output: str  # its key; empty where the function gives one tensor


def locate(where: str) -> tuple[str, Path, str]:
    """Find a SavedModel: where it is for good, its folder, and the SHA-256 of its files.

    Parameters
    ----------
    where : str
        A folder, a .tar.gz file, or an http(s) address of one.

    Raises
    ------
    UserError
        If nothing is there, or it holds no SavedModel.
    """
    if downloads.is_address(where):
        path = downloads.unpack(downloads.fetch(where))
    else:
        path = Path(os.path.expanduser(where)).resolve()
        where = str(path)
        if not path.exists():
            raise UserError(
                f"Expected a folder, a .tar.gz file or an http(s) address after savedmodel:, received {where}, which "
                "is not there."
            )
        if path.is_file():
            if not path.name.endswith(downloads.SUFFIXES):
                raise UserError(
                    f"Expected a folder or a file that ends in {', '.join(downloads.SUFFIXES)} after savedmodel:, "
                    f"received {path}. A .keras file is given as keras:{path.name}."
                )
            path = downloads.unpack(path)
    folder = _folder(path, where)
    return where, folder, downloads.hash_folder(folder)


def _folder(path: Path, where: str) -> Path:
    """The folder with the graph: `path`, or the only one below it (archives often hold one folder)."""
    found = [path] if (path / GRAPH).is_file() else [file.parent for file in path.glob(f"*/{GRAPH}")]
    if len(found) == 1:
        return found[0]
    inside = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
    count = f"{len(found)} of them" if found else f"none among {inside}"
    raise UserError(
        f"Expected one {GRAPH} in {where}, received {count}. A TF2 SavedModel is a folder with {GRAPH} and "
        "variables/; export one with model.export(folder)."
    )


def describe(folder: Path, output: str, model: str) -> tuple[str, int, str]:
    """Tell a SavedModel's name in a space, its input size (0: any) and its usual preprocessing."""
    endpoint = _endpoint(_load(folder, model), output, model)
    digest = hashlib.sha256((folder / GRAPH).read_bytes()).hexdigest()[:12]
    # TF-Hub's modules for pictures take RGB in [0, 1]; one that takes bytes needs nothing.
    return digest, endpoint.takes.size, "unit" if endpoint.takes.floating else "none"


def build(folder: Path, output: str, model: str, size: int, weights: str) -> "keras.Model":
    """Wrap the function that takes pictures: (B, s, s, 3) float to its output, as one layer that shows none.

    Raises
    ------
    UserError
        If Keras does not run on TensorFlow, or the function does not take pictures of this size.
    """
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"Expected KERAS_BACKEND=tensorflow for {model}, received {keras.backend.backend()}: only TensorFlow "
            "runs a SavedModel."
        )
    loaded = _load(folder, model)
    endpoint = _endpoint(loaded, output, model)
    function = _function(loaded, endpoint.name)
    pixels = keras.Input((size, size, 3), name="pixels")
    fed = pixels if endpoint.takes.dtype == "float32" else keras.ops.cast(pixels, endpoint.takes.dtype)
    try:
        probe = _pick(function(tf.zeros((1, size, size, 3), endpoint.takes.dtype)), endpoint.output)
        layer = keras.layers.TFSMLayer(str(folder), call_endpoint=endpoint.name, name="saved_model")
        features = _pick(layer(fed), endpoint.output)
    except (tf.errors.OpError, ValueError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise UserError(
            f"Expected {model} to take pictures of {size} pixels, but: {reason}. Pass the --input-size that it was "
            "made for."
        ) from error
    if None in features.shape[1:]:
        features = keras.ops.reshape(features, (-1, *probe.shape[1:]))
    return keras.Model(pixels, features, name="saved_model")


def _load(folder: Path, model: str) -> Any:
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(folder))
    # TensorFlow passes on whatever its C++ side finds in a damaged file, and there are many kinds.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        advice = "It is damaged, or needs operations that this TensorFlow does not have."
        if "MetaGraphDef" in str(error) or "tags" in str(error):
            advice = "It is in the format of TF1; get the TF2 version of the module."
        raise UserError(f"Expected a TF2 SavedModel in {model}, but: {reason}. {advice}") from error


def _endpoint(loaded: Any, asked: str, model: str) -> Endpoint:
    """Choose the function to call: the signature or output that was asked for, or a usual one."""
    found: dict[str, tuple[PictureInput, Any]] = {}
    seen = []
    for name in dict.fromkeys([*USUAL, *loaded.signatures, *(["__call__"] if callable(loaded) else [])]):
        for form in _forms(loaded, name):
            specs = _inputs(form)
            seen.append(f"{name}({', '.join(f'{key}: {_text(spec)}' for key, spec in specs.items())})")
            if (reads := read_input(specs)) is not None:
                found.setdefault(name, (reads, form))
    usable = {asked: found[asked]} if asked in found else found
    if not usable:
        raise UserError(
            f"Expected a signature of {model} that takes one batch of square pictures, (B, s, s, 3), and nothing "
            f"else; received {'; '.join(seen) or 'no signature at all'}. Export the model again with such a signature."
        )
    name, (takes, form) = next(iter(usable.items()))
    outputs = _outputs(form)
    if outputs is None:
        return Endpoint(name, takes, "")
    return Endpoint(name, takes, choose_output(outputs, "" if asked == name else asked, model))


def _function(loaded: Any, name: str) -> Any:
    return getattr(loaded, name) if hasattr(loaded, name) else loaded.signatures[name]


def _forms(loaded: Any, name: str) -> list[Any]:
    """The traced forms of a function; none if there is no such function."""
    if hasattr(loaded, name):
        return list(getattr(getattr(loaded, name), "concrete_functions", None) or [])
    return [loaded.signatures[name]] if name in loaded.signatures else []


def _inputs(form: Any) -> dict[str, Any]:
    """Name the tensors that a function takes."""
    positional, named = form.structured_input_signature
    tensors = {f"argument {number}": spec for number, spec in enumerate(positional)} | named
    return {key: spec for key, spec in tensors.items() if hasattr(spec, "shape")}


def _outputs(form: Any) -> dict[str, Any] | None:
    """Shapes of a function's outputs by name; None if it gives one tensor without a name."""
    given = form.structured_outputs
    if isinstance(given, dict):
        return {
            str(key): None if spec.shape.rank is None else list(spec.shape) for key, spec in given.items()
        }
    if isinstance(given, list | tuple):
        return {str(number): None for number, _ in enumerate(given)}
    return None


def _pick(given: Any, output: str) -> Any:
    if isinstance(given, dict):
        return given[output]
    return given[int(output)] if isinstance(given, list | tuple) else given


def _text(spec: Any) -> str:
    return f"{spec.dtype.name} {spec.shape}"
