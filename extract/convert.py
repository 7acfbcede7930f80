"""Convert a backbone for LiteRT in a child process, so that extraction itself never carries TensorFlow."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from cache.errors import UserError
from extract import networks
from extract.backbones import Backbone
from extract.networks import Network


def convert(backbone: Backbone) -> Network:
    """Build `backbone` in a child process, convert it for LiteRT and remember both.

    Raises
    ------
    UserError
        If the weights cannot be had, or TensorFlow cannot convert the network.
    """
    source = Path(__file__).parent.parent
    environment = os.environ | {
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")])),
    }
    command = [sys.executable, "-m", "extract.convert", json.dumps(asdict(backbone))]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    answer = child.stdout.strip().splitlines()[-1:] or [""]
    if child.returncode == 0:
        return Network(**json.loads(answer[0]))
    if child.returncode == 1 and answer[0].startswith('{"error"'):
        raise UserError(json.loads(answer[0])["error"])
    reason = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
    raise UserError(
        f"Expected TensorFlow to convert {backbone.name} for LiteRT, but it failed: {reason}. "
        "Pass --engine keras to run it without conversion."
    )


def _convert_here(backbone: Backbone) -> Network:
    import tensorflow as tf

    from extract.embedder import build_embedder, hash_weights

    model = build_embedder(backbone)
    with tempfile.TemporaryDirectory() as folder:
        # From an exported SavedModel: a concrete function would leave the variables unfrozen, ten times slower.
        model.export(folder, verbose=False)
        data = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    network = Network(
        weights=hash_weights(model),
        dim=int(model.output_shape[-1]),
        parameters=int(model.count_params()),
        model=networks.keep_model(data),
    )
    networks.remember(backbone, network)
    return network


if __name__ == "__main__":
    try:
        print("\n" + json.dumps(asdict(_convert_here(Backbone(**json.loads(sys.argv[1]))))))
    except UserError as error:
        print("\n" + json.dumps({"error": str(error)}))
        sys.exit(1)
