"""Which engine runs a backbone; learn what the network is, and start it."""

from collections.abc import Callable
from dataclasses import replace

from cache.errors import UserError
from extract.backbones.backbone import Backbone
from extract.engines import network_cache
from extract.engines.conversion import Unconvertible, convert
from extract.engines.engine import Engine, KerasEngine, LiteRTEngine
from extract.engines.network_cache import Network
from extract.machine import gpu_seen
from extract.settings import ENGINES


def choose_engine(asked: str, backbone: Backbone, note: Callable[[str], None] = lambda text: None) -> str:
    """Resolve ``auto``: Keras where a GPU is seen, else LiteRT unless it is known that it cannot run the network.

    Integers are LiteRT's alone: with a GPU, ``auto`` takes it and `note` is told.
    """
    if asked not in ENGINES:
        raise UserError(f"Expected an engine out of {', '.join(ENGINES)}; received {asked!r}.")
    if asked == "litert" and backbone.precision == "float16":
        raise UserError(
            "Expected --precision float32 or int8 with --engine litert: it does not compute in float16."
        )
    if backbone.precision == "int8":
        if asked == "keras":
            raise UserError(
                "Expected --engine litert (or auto) with --precision int8, received keras, which computes in floats "
                "only. For Keras, pass --precision float32."
            )
        if asked == "auto" and gpu_seen():
            note(
                "int8 is for a CPU: LiteRT computes, and the GPU stays idle; --precision float32 or float16 uses it"
            )
        return "litert"
    if asked != "auto":
        return asked
    if gpu_seen() or backbone.precision != "float32":
        return "keras"
    known = network_cache.find(backbone)
    return "keras" if known is not None and known.unconvertible else "litert"


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
    fall_back = fall_back and backbone.precision != "int8"
    network = network_cache.find(backbone)
    if network is not None and (engine == "keras" or network.model):
        if network.unconvertible and fall_back and not gpu_seen():
            note(_instead(network.unconvertible))
        return network, None
    note(f"preparing {backbone.name} for this machine: once, about half a minute")
    unconvertible = ""
    if engine == "litert":
        try:
            return convert(backbone), None
        except Unconvertible as error:
            if not fall_back:
                raise
            unconvertible = error.reason if error.lasting else ""
            note(_instead(error.reason) if error.lasting else _this_time(error.reason))
    built = KerasEngine(backbone)
    network = replace(built.network, unconvertible=unconvertible)
    network_cache.remember(backbone, network)
    return network, built


def _instead(reason: str) -> str:
    return f"LiteRT cannot run this network ({reason}): Keras does, which is slower on a CPU"


def _this_time(reason: str) -> str:
    return (
        f"making this network ready for LiteRT failed ({reason}): Keras runs it now, which is slower on a CPU; the "
        "next run tries again"
    )


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
