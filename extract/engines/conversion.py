"""Convert a backbone for LiteRT in a child process, so that extraction itself never carries TensorFlow."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

import cache
from cache.errors import UserError
from extract.backbones.backbone import Backbone
from extract.backbones.calibration import Calibration
from extract.engines import network_cache
from extract.engines.network_cache import Network
from extract.engines.quantisation import Unquantisable, hash_tensors, measure, quantise

COMPARED = 2  # pictures: a batch of more than one shows whether the batch axis survived
TOLERANCE = 1e-3  # relative


class Unconvertible(UserError):
    """The network cannot be had for LiteRT; `reason` says why, for a line of text.

    `lasting` tells that it is the network's fault, and not that of a conversion that crashed or was killed.
    """

    def __init__(self, name: str, reason: str, *, lasting: bool = True, precision: str = "") -> None:
        self.reason, self.lasting = reason, lasting
        integers = precision == "int8"
        super().__init__(
            f"Expected {'' if integers else 'TensorFlow to convert '}{name}"
            f"{' as a network of 8-bit integers' if integers else ' for LiteRT'}, but it failed: {reason}. "
            f"{'Pass' if lasting else 'Try again, or pass'} "
            f"{'--precision float32' if integers else '--engine keras to run it without conversion'}."
        )


def convert(backbone: Backbone) -> Network:
    """Build `backbone` in a child process, convert it for LiteRT and remember both; or wait for who does.

    Raises
    ------
    UserError
        If the weights cannot be had, TensorFlow cannot convert the network, or it has no calibration for int8.
    """
    if backbone.precision == "int8" and backbone.ranges is None:
        raise UserError(
            f"Expected a calibration for {backbone.name} in int8: none ships for this network with these weights. Run "
            "`extract FOLDER/ --precision int8` first, which calibrates on a sample of the pictures, or pass "
            "--precision float32."
        )
    with network_cache.being_made(backbone):
        known = network_cache.find(backbone)
        if known is not None and known.model:
            return known
        return Network(**_child(backbone)["network"])


def calibrate(backbone: Backbone, pixels: np.ndarray) -> Calibration:
    """Convert `backbone` for int8 with the ranges that its activations have on these pictures, and remember both.

    Parameters
    ----------
    backbone : Backbone
    pixels : (n, s, s, 3) uint8

    Returns
    -------
    Calibration
        With it, `convert` finds the network, and makes the same again wherever it is not there.

    Raises
    ------
    UserError
        As `convert`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pixels.npy")
        np.save(path, pixels)
        return Calibration.from_json(_child(backbone, str(path))["calibration"])


def _child(backbone: Backbone, pixels: str = "") -> dict[str, Any]:
    """Ask a child process; its last line is the answer."""
    # This very code, wherever it was found; and nothing of the current folder, which may come from elsewhere: without
    # -P it would be first, and an empty entry of PYTHONPATH stands for it.
    path = [str(Path(cache.__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "PYTHONSAFEPATH": "1",
    }
    command = [sys.executable, "-P", "-m", "extract.engines.conversion"]
    question = json.dumps({"backbone": asdict(backbone), "pixels": pixels})
    child = subprocess.run(
        command, env=environment, input=question, capture_output=True, text=True, errors="replace"
    )
    answer = child.stdout.strip().splitlines()[-1:] or [""]
    if child.returncode == 0:
        return json.loads(answer[0])
    if child.returncode == 1 and answer[0].startswith('{"error"'):
        raise UserError(json.loads(answer[0])["error"])
    if child.returncode == 2 and answer[0].startswith('{"unconvertible"'):
        raise Unconvertible(
            backbone.name, json.loads(answer[0])["unconvertible"], precision=backbone.precision
        )
    reason = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
    if child.returncode < 0:
        reason = f"its process was ended by {signal.Signals(-child.returncode).name}"
    raise Unconvertible(backbone.name, reason, lasting=False, precision=backbone.precision)


def _answer(backbone: Backbone, pixels: str) -> dict[str, Any]:
    from extract.backbones.network import build_embedder, hash_weights, parts_of

    model = build_embedder(backbone)
    parameters, parts = int(model.count_params()), parts_of(model, backbone.pooling)
    if backbone.precision == "int8":
        model, data, backbone = _quantise(backbone, model, pixels)
        weights = hash_tensors(data)
    else:
        data, weights = _float_file(backbone, model), hash_weights(model)
    network = Network(
        weights=weights,
        dim=int(model.output_shape[-1]),
        parameters=parameters,
        model=network_cache.keep_model(data),
        parts=parts,
    )
    network_cache.remember(backbone, network)
    return {
        "network": asdict(network),
        "calibration": backbone.calibration.to_json() if backbone.calibration else None,
    }


def _quantise(backbone: Backbone, model: Any, pixels: str) -> tuple[Any, bytes, Backbone]:
    """Fold, convert, measure where there are pictures, and quantise."""
    from extract.engines.folding import fold

    model = fold(model)
    data = _float_file(backbone, model)
    try:
        if pixels:
            backbone = replace(backbone, calibration=measure(data, np.load(pixels)))
        assert backbone.ranges is not None
        return model, quantise(data, backbone.ranges), backbone
    except (Unquantisable, RuntimeError, ValueError) as error:  # the last two are LiteRT's
        raise Unconvertible(backbone.name, _short(error), precision=backbone.precision) from error


def _float_file(backbone: Backbone, model: Any) -> bytes:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        # From an exported SavedModel: a concrete function would leave the variables unfrozen, ten times slower.
        model.export(folder, verbose=False)
        try:
            data = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
        except (MemoryError, OSError, ImportError, tf.errors.ResourceExhaustedError):
            raise  # the machine's fault, and not the network's
        except Exception as error:  # the converter passes on whatever the C++ below it throws
            raise Unconvertible(backbone.name, _short(error)) from error
    if backbone.location:
        compare(backbone, model, data)
    return data


def compare(backbone: Backbone, model: Any, data: bytes) -> None:
    """Run a LiteRT network beside the model that it was made of: not all that converts computes the same.

    Raises
    ------
    Unconvertible
        If it does not.
    """
    from ai_edge_litert.interpreter import Interpreter

    size = backbone.input_size
    pixels = np.random.default_rng(0).integers(0, 256, (COMPARED, size, size, 3), dtype=np.uint8)
    expected = np.asarray(model.predict_on_batch(pixels), np.float32)
    try:
        interpreter = Interpreter(model_content=data)
        source = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(source, pixels.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source, pixels)
        interpreter.invoke()
        rows = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    except (RuntimeError, ValueError) as error:  # an operation that only TensorFlow has, or a fixed batch
        raise Unconvertible(backbone.name, _short(error)) from error
    off = np.linalg.norm(rows - expected) / max(float(np.linalg.norm(expected)), 1e-12)
    if rows.shape != expected.shape or not off < TOLERANCE:
        raise Unconvertible(backbone.name, f"its answers differ by {off:.1g} of their size")


def _short(error: Exception) -> str:
    """The line of a long report that says what was missing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("Flex ops", "Custom ops", "TF Select ops"))]
    return (telling or lines or [type(error).__name__])[0][:200].rstrip(".")


def _asked(text: str) -> tuple[Backbone, str]:
    """What `_child` wrote."""
    question = json.loads(text)
    fields = question["backbone"]
    if fields["calibration"]:
        fields["calibration"] = Calibration.from_json(fields["calibration"]["activations"])
    return Backbone(**fields), question["pixels"]


if __name__ == "__main__":
    try:
        print("\n" + json.dumps(_answer(*_asked(sys.stdin.read()))))
    except Unconvertible as error:
        print("\n" + json.dumps({"unconvertible": error.reason}))
        sys.exit(2)
    except UserError as error:
        print("\n" + json.dumps({"error": str(error)}))
        sys.exit(1)
