"""What executes a backbone: LiteRT on a CPU, Keras on a GPU or anywhere. Both take uint8, both give float32."""

import queue
import threading
from typing import Any, Protocol

import numpy as np

from extract.backbones.backbone import Backbone
from extract.engines.network_cache import Network
from extract.machine import import_keras_quietly, quiet_stderr, usable_cores


class Engine(Protocol):
    """Runs a backbone; `embed` may be called from `lanes` threads at once."""

    name: str
    device: str
    batch_size: int
    lanes: int
    network: Network

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """(B, s, s, 3) uint8 RGB, 1 <= B <= batch_size, to (B, D) float32."""
        ...


class LiteRTEngine:
    """LiteRT with XNNPACK, one single-threaded interpreter a core.

    Two pictures on two cores beat one picture on both: no thread waits for another inside a layer, and the
    activations of one picture stay in a core's own cache.
    """

    name = "litert"
    device = "cpu"

    def __init__(self, network: Network, batch_size: int | None = None, lanes: int | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.network = network
        self.batch_size = batch_size or 1
        self.lanes = lanes or usable_cores()
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with quiet_stderr():
            for _ in range(self.lanes):
                interpreter = Interpreter(model_path=str(network.model_path), num_threads=1)
                pixels = interpreter.get_input_details()[0]
                interpreter.resize_tensor_input(pixels["index"], [self.batch_size, *pixels["shape"][1:]])
                interpreter.allocate_tensors()
                self._idle.put(interpreter)

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """(B, s, s, 3) uint8 RGB, 1 <= B <= batch_size, to (B, D) float32."""
        interpreter = self._idle.get()
        try:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], _pad(pixels, self.batch_size))
            interpreter.invoke()
            return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[: len(pixels)]
        finally:
            self._idle.put(interpreter)


class KerasEngine:
    """Keras on whatever backend and device it has, compiled once for a static batch."""

    name = "keras"
    lanes = 1

    def __init__(self, backbone: Backbone, batch_size: int | None = None) -> None:
        import_keras_quietly()
        from extract.backbones.network import build_embedder, hash_weights, parts_of, undisturbed

        with undisturbed():
            self._model = build_embedder(backbone)
        self._one = threading.Lock()
        self.device = _keras_device()
        self.batch_size = batch_size or (128 if self.device == "gpu" else 32)
        self.network = Network(
            weights=hash_weights(self._model),
            dim=int(self._model.output_shape[-1]),
            parameters=int(self._model.count_params()),
            parts=parts_of(self._model, backbone.pooling),
        )

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """(B, s, s, 3) uint8 RGB, 1 <= B <= batch_size, to (B, D) float32."""
        with self._one:  # spaces that share an engine do not know of each other
            rows = self._model.predict_on_batch(_pad(pixels, self.batch_size))
        return np.asarray(rows, np.float32)[: len(pixels)]


def _keras_device() -> str:
    import keras

    # Asked for GPUs where there are none, JAX raises; asked for nothing, every backend names its best devices.
    return "gpu" if keras.distribution.list_devices()[0].lower().startswith(("gpu", "cuda")) else "cpu"


def _pad(pixels: np.ndarray, batch_size: int) -> np.ndarray:
    if len(pixels) == batch_size:
        return pixels
    padded = np.zeros((batch_size, *pixels.shape[1:]), pixels.dtype)
    padded[: len(pixels)] = pixels
    return padded
