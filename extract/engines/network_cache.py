"""What building a backbone once taught us, kept so that later runs need not build it: no TensorFlow, no wait.

The user's cache folder holds, for each backbone as asked for, ``networks/<id>.json`` and the network converted
for LiteRT. Delete the folder at any time; it is made again.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cache.storage.files import locked, make_folder, open_regular, user_folder, write_file
from cache.storage.json_file import DamagedJson, build, read_json, write_json
from extract.backbones.backbone import Backbone
from extract.backbones.families import family

DIGITS = 32  # of a converted network's hash, in its file's name
VERSION = 1  # of the file format and of the conversion: raise it when either changes
QUANTISATION = 1  # of what int8 does to a network


@dataclass(frozen=True)
class Network:
    """Facts of a built backbone; `model` names its LiteRT file, or is empty if it was not converted."""

    weights: str  # SHA-256 over the weight tensors, hex
    dim: int
    parameters: int
    model: str = ""
    unconvertible: str = ""  # why LiteRT cannot run it; empty if it can or nobody has tried
    parts: list[int] = field(default_factory=list)  # widths of a row's parts; empty: the row is one whole

    @property
    def model_path(self) -> Path:
        return folder() / self.model


def folder() -> Path:
    """The user's cache folder for networks (``COLDFRAME_CACHE`` moves it)."""
    return user_folder() / "networks"


def find(backbone: Backbone) -> Network | None:
    """Look up what is known of `backbone`; None if it was never built, or what was kept of it is damaged."""
    try:
        fields = read_json(_record(backbone))
        # Older versions took any failure for the network's, and remembered it under this name: it is tried once more.
        if fields.pop("refused", ""):
            return None
        network = build(Network, fields)
    except (OSError, DamagedJson):
        return None
    if network.model and not _intact(network.model_path):
        return None
    return network


def remember(backbone: Backbone, network: Network) -> None:
    """Keep the facts of `network` for `find`."""
    make_folder(folder())
    write_json(_record(backbone), asdict(network))


def keep_model(data: bytes) -> str:
    """Store a converted network and return its file name, which carries its hash."""
    name = f"{hashlib.sha256(data).hexdigest()[:DIGITS]}.tflite"
    make_folder(folder())
    write_file(folder() / name, data)
    return name


@contextmanager
def being_made(backbone: Backbone) -> Iterator[None]:
    """Of several processes that need a network one makes it, and the others wait."""
    make_folder(folder())
    lock = _record(backbone).with_suffix(".lock")
    lock.touch()
    with locked(lock):
        yield


def _record(backbone: Backbone) -> Path:
    asked = asdict(backbone) | {"weights": backbone.source(), "version": VERSION}
    del asked["location"]  # a model that was moved is the same
    del asked["calibration"]
    if backbone.precision == "int8":
        asked["quantised"] = [QUANTISATION, backbone.ranges.digest if backbone.ranges else ""]
    if not backbone.digest:
        del asked["digest"]
        if backbone.preprocessing == family(backbone.name).preprocessing:
            del asked["preprocessing"]  # it follows from the name
    return folder() / f"{hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]}.json"


def _intact(path: Path) -> bool:
    if path.parent != folder() or len(path.stem) != DIGITS:
        return False
    try:
        with open_regular(path) as file:
            return hashlib.sha256(file.read()).hexdigest().startswith(path.stem)
    except OSError:
        return False
