"""What a model can be exported to: how each format is written, and how it is run to see that it answers right."""

from __future__ import annotations

import importlib.util
import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import UserError
from classify.models.layers import CLASSIFIER
from classify.models.model_file import FACTS, load_model, save_model
from classify.models.run_model import FittedRun, TunedRun
from extract.machine import usable_cores

Answer = Callable[[np.ndarray], np.ndarray]  # one picture, or one embedding, to (C,) probabilities
LABELS = "labels.txt"


@dataclass(frozen=True)
class Format:
    """How to write a run's model, and how to run what was written."""

    suffix: str  # "" for a folder
    name: str  # of the file in the run's folder, unless told otherwise
    takes: str
    runtime: str
    write: Callable[[FittedRun | TunedRun, Path, np.ndarray | None], None]
    open: Callable[[Path], Answer]
    needs: tuple[str, ...] = ()  # packages of the extra `onnx`

    def check_installed(self) -> None:
        """Raise UserError where a package is missing."""
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if missing:
            raise UserError(
                f"Expected {' and '.join(missing)} for this format, found none. Run `pip install 'coldframe[onnx]'`."
            )


def _write_keras(run: FittedRun | TunedRun, path: Path, pixels: np.ndarray | None) -> None:
    if run.facts["backbone"].startswith("savedmodel:"):
        raise UserError(
            "Expected --to savedmodel, tflite or saved-head for a run on a SavedModel, received keras: a .keras file "
            "can only name the folder of a SavedModel, not hold it."
        )
    save_model(run.model, path, run.facts)


def _write_head(run: FittedRun | TunedRun, path: Path, pixels: np.ndarray | None) -> None:
    save_model(run.head_model, path, run.facts | {"takes": "embedding"})


def _open_keras(path: Path) -> Answer:
    model = load_model(path).model
    return lambda one: np.asarray(model.predict_on_batch(one[None]))[0]


def _write_savedmodel(run: FittedRun | TunedRun, path: Path, pixels: np.ndarray | None) -> None:
    run.model.export(path, format="tf_saved_model", verbose=False)
    (path / FACTS).write_text(json.dumps(run.facts, indent=1))


def _open_savedmodel(path: Path) -> Answer:
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    return lambda one: model.serve(tf.constant(one[None])).numpy()[0]


def _write_tflite(run: FittedRun | TunedRun, path: Path, pixels: np.ndarray | None) -> None:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        _square(run).export(folder, format="tf_saved_model", input_signature=_one(run), verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if pixels is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([picture[None]] for picture in pixels)
        path.write_bytes(converter.convert())
    # TensorFlow Lite's own way to attach files: a zip at the end, which readers of the model do not see.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS, "\n".join(run.facts["classes"]))
        archive.writestr(FACTS, json.dumps(run.facts, indent=1))


def _open_tflite(path: Path) -> Answer:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=usable_cores())
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def answer(one: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source, one[None])
        interpreter.invoke()
        return interpreter.get_tensor(target)[0]

    return answer


def _write_onnx(run: FittedRun | TunedRun, path: Path, pixels: np.ndarray | None) -> None:
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # Keras asks NumPy for names of old, on tf2onnx's behalf
        _square(run).export(path, format="onnx", input_signature=_one(run), verbose=False)
    model = onnx.load(str(path))
    facts = {"classes": json.dumps(run.facts["classes"]), "coldframe": json.dumps(run.facts)}
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, str(path))


def _open_onnx(path: Path) -> Answer:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda one: session.run(None, {name: one[None]})[0][0]


def _square(run: FittedRun | TunedRun) -> Any:
    """Return the model behind the resizing."""
    return run.model.get_layer(CLASSIFIER)


def _one(run: FittedRun | TunedRun) -> list[Any]:
    import keras

    return [keras.InputSpec(shape=(1, run.size, run.size, 3), dtype="uint8")]


_ANY = "(B, h, w, 3) uint8 RGB of any size"
_SQUARE = "(1, {size}, {size}, 3) uint8 RGB, cut and resized beforehand"
FORMATS = {
    "keras": Format(".keras", "classifier.keras", _ANY, "Keras", _write_keras, _open_keras),
    "savedmodel": Format("", "saved_model", _ANY, "TensorFlow", _write_savedmodel, _open_savedmodel),
    "tflite": Format(".tflite", "model.tflite", _SQUARE, "LiteRT", _write_tflite, _open_tflite),
    "onnx": Format(
        ".onnx",
        "model.onnx",
        _SQUARE,
        "ONNX Runtime",
        _write_onnx,
        _open_onnx,
        ("tf2onnx", "onnx", "onnxruntime"),
    ),
    "saved-head": Format(
        ".keras", "head.keras", "(B, D) float32 embeddings", "Keras", _write_head, _open_keras
    ),
}
