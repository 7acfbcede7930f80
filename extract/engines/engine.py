"""What executes a backbone: LiteRT on a CPU, Keras on a GPU or anywhere. Both take uint8, both give float32."""

import queue
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from cache.errors import UserError
from extract.backbones.backbone import Backbone
from extract.engines import network_cache
from extract.engines.conversion import Unconvertible, convert
from extract.engines.network_cache import Network
from extract.machine import gpu_seen, import_keras_quietly, quiet_stderr, usable_cores

ENGINES = ("auto", "litert", "keras")


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
        from extract.backbones.network import build_embedder, hash_weights, undisturbed

        with undisturbed():
            self._model = build_embedder(backbone)
        self.device = _keras_device()
        self.batch_size = batch_size or (128 if self.device == "gpu" else 32)
        self.network = Network(
            weights=hash_weights(self._model),
            dim=int(self._model.output_shape[-1]),
            parameters=int(self._model.count_params()),
        )

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """(B, s, s, 3) uint8 RGB, 1 <= B <= batch_size, to (B, D) float32."""
        rows = self._model.predict_on_batch(_pad(pixels, self.batch_size))
        return np.asarray(rows, np.float32)[: len(pixels)]


def choose_engine(asked: str, backbone: Backbone) -> str:
    """Resolve ``auto``: Keras where a GPU is seen, else LiteRT unless it is known that it cannot run the network."""
    if asked not in ENGINES:
        raise UserError(f"Expected an engine out of {', '.join(ENGINES)}; received {asked!r}.")
    if asked == "litert" and backbone.precision != "float32":
        raise UserError("Expected --precision float32 with --engine litert: it computes in float32 only.")
    if asked != "auto":
        return asked
    if gpu_seen() or backbone.precision != "float32":
        return "keras"
    known = network_cache.find(backbone)
    return "keras" if known is not None and known.refused else "litert"


def learn_network(
    backbone: Backbone,
    engine: str,
    note: Callable[[str], None] = lambda text: None,
    fall_back: bool = False,
) -> tuple[Network, "Engine | None"]:
    """Find out what `backbone` is; build it if this is the first time, which `note` is told of.

    Parameters
    ----------
    backbone : Backbone
    engine : str
        "litert" or "keras".
    note : callable (line of text), optional
    fall_back : bool
        Take Keras where LiteRT cannot run the network, with a note.

    Returns
    -------
    network : Network
    engine : Engine or None
        The Keras engine where it had to be built for the answer, or takes LiteRT's place.
    """
    network = network_cache.find(backbone)
    if network is not None and (engine == "keras" or network.model):
        if network.refused and fall_back and not gpu_seen():
            note(_instead(network.refused))
        return network, None
    note(f"preparing {backbone.name} for this machine: once, about half a minute")
    refused = ""
    if engine == "litert":
        try:
            return convert(backbone), None
        except Unconvertible as error:
            if not fall_back:
                raise
            refused = error.reason
            note(_instead(refused))
    built = KerasEngine(backbone)
    network = replace(built.network, refused=refused)
    network_cache.remember(backbone, network)
    return network, built


def _instead(refused: str) -> str:
    return f"LiteRT cannot run this network ({refused}): Keras does, which is slower on a CPU"


def open_engine(
    name: str, backbone: Backbone, network: Network, batch_size: int | None = None, lanes: int | None = None
) -> Engine:
    """Start an engine that computes in the space of `network`, which `learn_network` gave for it.

    Raises
    ------
    UserError
        If the weights turn out to be others than `network` says.
    """
    engine: Engine
    litert = name == "litert"
    engine = LiteRTEngine(network, batch_size, lanes) if litert else KerasEngine(backbone, batch_size)
    if engine.network.weights != network.weights:
        raise UserError(
            f"Expected weights {network.weights[:12]} for {backbone.name}, received "
            f"{engine.network.weights[:12]}: they changed since. Delete {network_cache.folder()} and try again."
        )
    return engine


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
