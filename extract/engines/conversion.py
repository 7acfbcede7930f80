"""Convert a backbone for LiteRT in a child process, so that extraction itself never carries TensorFlow."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cache
from cache.errors import UserError
from extract.backbones.backbone import Backbone
from extract.engines import network_cache
from extract.engines.network_cache import Network

COMPARED = 2  # pictures: a batch of more than one shows whether the batch axis survived
TOLERANCE = 1e-3  # relative


class Unconvertible(UserError):
    """The network cannot be had for LiteRT; `reason` says why, for a line of text.

    `lasting` tells that it is the network's fault, and not that of a conversion that crashed or was killed.
    """

    def __init__(self, name: str, reason: str, *, lasting: bool = True) -> None:
        self.reason, self.lasting = reason, lasting
        super().__init__(
            f"Expected TensorFlow to convert {name} for LiteRT, but it failed: {reason}. "
            f"{'Pass' if lasting else 'Try again, or pass'} --engine keras to run it without conversion."
        )


def convert(backbone: Backbone) -> Network:
    """Build `backbone` in a child process, convert it for LiteRT and remember both; or wait for who does.

    Raises
    ------
    UserError
        If the weights cannot be had, or TensorFlow cannot convert the network.
    """
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
    command = [sys.executable, "-P", "-m", "extract.engines.conversion", json.dumps(asdict(backbone))]
    with network_cache.being_made(backbone):
        known = network_cache.find(backbone)
        if known is not None and known.model:
            return known
        child = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    answer = child.stdout.strip().splitlines()[-1:] or [""]
    if child.returncode == 0:
        return Network(**json.loads(answer[0]))
    if child.returncode == 1 and answer[0].startswith('{"error"'):
        raise UserError(json.loads(answer[0])["error"])
    if child.returncode == 2 and answer[0].startswith('{"unconvertible"'):
        raise Unconvertible(backbone.name, json.loads(answer[0])["unconvertible"])
    reason = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
    if child.returncode < 0:
        reason = f"its process was ended by {signal.Signals(-child.returncode).name}"
    raise Unconvertible(backbone.name, reason, lasting=False)


def _convert_here(backbone: Backbone) -> Network:
    import tensorflow as tf

    from extract.backbones.network import build_embedder, hash_weights, parts_of

    model = build_embedder(backbone)
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
        _compare(backbone, model, data)
    network = Network(
        weights=hash_weights(model),
        dim=int(model.output_shape[-1]),
        parameters=int(model.count_params()),
        model=network_cache.keep_model(data),
        parts=parts_of(model, backbone.pooling),
    )
    network_cache.remember(backbone, network)
    return network


def _compare(backbone: Backbone, model: Any, data: bytes) -> None:
    """Run what was made of somebody's model beside the model itself: not all that converts computes the same."""
    import numpy as np
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


if __name__ == "__main__":
    try:
        print("\n" + json.dumps(asdict(_convert_here(Backbone(**json.loads(sys.argv[1]))))))
    except Unconvertible as error:
        print("\n" + json.dumps({"unconvertible": error.reason}))
        sys.exit(2)
    except UserError as error:
        print("\n" + json.dumps({"error": str(error)}))
        sys.exit(1)
