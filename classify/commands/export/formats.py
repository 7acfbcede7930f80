"""What a model can be exported to: how each format is written, and how it is run to see that it answers right."""

from __future__ import annotations

import importlib.util
import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import UserError
from classify.commands.export.merging import merge
from classify.models.layers import CLASSIFIER
from classify.models.model_file import FACTS, load_model, save_model
from classify.models.resizing import Square, square_names
from classify.models.run_model import FittedRun, TunedRun
from extract.machine import usable_cores

# One picture as the square of each size that the model takes, or one embedding, to (C,) probabilities.
Answer = Callable[[Sequence[np.ndarray]], np.ndarray]
Write = Callable[[FittedRun | TunedRun, Path, Sequence[np.ndarray] | None], None]
LABELS = "labels.txt"
SQUARES = "squares"  # how a SavedModel of several networks is asked behind the resizing


@dataclass(frozen=True)
class Format:
    """How to write a run's model, and how to run what was written."""

    suffix: str  # "" for a folder
    name: str  # of the file in the run's folder, unless told otherwise
    takes: Callable[[Sequence[Square]], str]
    runtime: str
    write: Write
    open: Callable[[Path, Sequence[str]], Answer]  # the names are those of `square_names`
    needs: tuple[str, ...] = ()  # packages of the extra `onnx`

    def check_installed(self) -> None:
        """Raise UserError where a package is missing."""
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if missing:
            raise UserError(
                f"Expected {' and '.join(missing)} for this format, found none. Run `pip install 'coldframe[onnx]'`."
            )


def _write_keras(run: FittedRun | TunedRun, path: Path, pixels: Sequence[np.ndarray] | None) -> None:
    if "savedmodel:" in run.facts["backbone"]:
        raise UserError(
            "Expected --to savedmodel, tflite or saved-head for a run on a SavedModel, received keras: a .keras file "
            "can only name the folder of a SavedModel, not hold it."
        )
    save_model(run.model, path, run.facts)


def _write_head(run: FittedRun | TunedRun, path: Path, pixels: Sequence[np.ndarray] | None) -> None:
    save_model(run.head_model, path, run.facts | {"takes": "embedding"})


def _open_keras(path: Path, names: Sequence[str]) -> Answer:
    """Load a model; of several sizes of pictures it is asked behind the resizing, as Pillow has done that."""
    model = load_model(path).model

    def answer(one: Sequence[np.ndarray]) -> np.ndarray:
        if len(one) == 1:
            return np.asarray(model.predict_on_batch(one[0][None]))[0]
        return np.asarray(model.get_layer(CLASSIFIER).predict_on_batch([each[None] for each in one]))[0]

    return answer


def _write_savedmodel(run: FittedRun | TunedRun, path: Path, pixels: Sequence[np.ndarray] | None) -> None:
    import keras

    archive = keras.export.ExportArchive()
    anything = keras.InputSpec(shape=(None, None, None, 3), dtype="uint8", name="pixels")
    archive.track_and_add_endpoint("serve", run.model, [anything])
    if len(run.squares) > 1:
        archive.track_and_add_endpoint(SQUARES, _square(run), _specs(run, None))
    archive.write_out(path, verbose=False)
    (path / FACTS).write_text(json.dumps(run.facts, indent=1))


def _open_savedmodel(path: Path, names: Sequence[str]) -> Answer:
    import tensorflow as tf

    model = tf.saved_model.load(str(path))

    def answer(one: Sequence[np.ndarray]) -> np.ndarray:
        given = [tf.constant(each[None]) for each in one]
        return (model.serve(*given) if len(one) == 1 else getattr(model, SQUARES)(given)).numpy()[0]

    return answer


def _write_tflite(run: FittedRun | TunedRun, path: Path, pixels: Sequence[np.ndarray] | None) -> None:
    if isinstance(run, FittedRun) and run.integer:
        path.write_bytes(_with_own_networks(run))
    else:
        shown = [_named(square_names(run.squares), one) for one in zip(*(pixels or ()), strict=True)]
        path.write_bytes(_litert(_square(run), _specs(run, 1), shown))
    # TensorFlow Lite's own way to attach files: a zip at the end, which readers of the model do not see.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS, "\n".join(run.facts["classes"]))
        archive.writestr(FACTS, json.dumps(run.facts, indent=1))


def _with_own_networks(run: FittedRun) -> bytes:
    """The very networks that gave the rows, which Keras could not compute, and the head behind them."""
    import keras

    networks, names = run.networks(), dict(zip(run.squares, square_names(run.squares), strict=True))
    head = run.rows_head([network.dim for _, network in networks])
    specs = [keras.InputSpec(shape=(1, row.shape[-1]), dtype="float32", name=row.name) for row in head.inputs]
    files = [(names[square], network.model_path.read_bytes()) for square, network in networks]
    return merge(files, _litert(head, specs if len(specs) == 1 else [specs], []))


def _litert(model: Any, specs: list[Any], shown: list[dict[str, np.ndarray]]) -> bytes:
    """Convert a Keras model; into 8-bit integers where it is `shown` what they have to hold."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", input_signature=specs, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if shown:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: iter(shown)
        return converter.convert()


def _open_tflite(path: Path, names: Sequence[str]) -> Answer:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=usable_cores())
    ask = interpreter.get_signature_runner()

    def answer(one: Sequence[np.ndarray]) -> np.ndarray:
        (probability,) = ask(**_named(names, one)).values()
        return probability[0]

    return answer


def _write_onnx(run: FittedRun | TunedRun, path: Path, pixels: Sequence[np.ndarray] | None) -> None:
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # Keras asks NumPy for names of old, on tf2onnx's behalf
        _square(run).export(path, format="onnx", input_signature=_specs(run, 1), verbose=False)
    model = onnx.load(str(path))
    facts = {"classes": json.dumps(run.facts["classes"]), "coldframe": json.dumps(run.facts)}
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, str(path))


def _open_onnx(path: Path, names: Sequence[str]) -> Answer:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda one: session.run(None, _named(names, one))[0][0]


def _square(run: FittedRun | TunedRun) -> Any:
    """Return the model behind the resizing."""
    return run.model.get_layer(CLASSIFIER)


def _specs(run: FittedRun | TunedRun, batch: int | None) -> list[Any]:
    """What it takes: (batch, s, s, 3) of each size."""
    import keras

    pairs = zip(run.squares, square_names(run.squares), strict=True)
    specs = [
        keras.InputSpec(shape=(batch, each.size, each.size, 3), dtype="uint8", name=name)
        for each, name in pairs
    ]
    return specs if len(specs) == 1 else [specs]


def _named(names: Sequence[str], one: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """A batch of one of each, by the names of what they go in at."""
    return {name: each[None] for name, each in zip(names, one, strict=True)}


def _anything(squares: Sequence[Square]) -> str:
    return "(B, h, w, 3) uint8 RGB of any size"


def _squares(squares: Sequence[Square]) -> str:
    sizes = [f"(1, {each.size}, {each.size}, 3)" for each in squares]
    if len(sizes) > 1:
        pairs = zip(square_names(squares), sizes, strict=True)
        sizes = [f"{name} {size}" for name, size in pairs]
    return f"{', '.join(sizes)} uint8 RGB, cut and resized beforehand"


def _rows(squares: Sequence[Square]) -> str:
    return "(B, D) float32 embeddings"


FORMATS = {
    "keras": Format(".keras", "classifier.keras", _anything, "Keras", _write_keras, _open_keras),
    "savedmodel": Format("", "saved_model", _anything, "TensorFlow", _write_savedmodel, _open_savedmodel),
    "tflite": Format(".tflite", "model.tflite", _squares, "LiteRT", _write_tflite, _open_tflite),
    "onnx": Format(
        ".onnx",
        "model.onnx",
        _squares,
        "ONNX Runtime",
        _write_onnx,
        _open_onnx,
        ("tf2onnx", "onnx", "onnxruntime"),
    ),
    "saved-head": Format(".keras", "head.keras", _rows, "Keras", _write_head, _open_keras),
}
