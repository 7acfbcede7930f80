"""What building a backbone once taught us, kept so that later runs need not build it: no TensorFlow, no wait.

The user's cache folder holds, for each backbone as asked for, ``networks/<id>.json`` and the network converted
for LiteRT. Delete the folder at any time; it is made again.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cache.storage.files import locked, make_folder, user_folder, write_file
from extract.backbones.backbone import Backbone
from extract.backbones.families import family

VERSION = 1  # of the file format and of the conversion: raise it when either changes


@dataclass(frozen=True)
class Network:
    """Facts of a built backbone; `model` names its LiteRT file, or is empty if it was not converted."""

    weights: str  # SHA-256 over the weight tensors, hex
    dim: int
    parameters: int
    model: str = ""
    refused: str = ""  # why LiteRT cannot run it; empty if it can or nobody has tried

    @property
    def model_path(self) -> Path:
        return folder() / self.model


def folder() -> Path:
    """The user's cache folder for networks (``COLDFRAME_CACHE`` moves it)."""
    return user_folder() / "networks"


def find(backbone: Backbone) -> Network | None:
    """Look up what is known of `backbone`; None if it was never built, or its converted file is damaged."""
    try:
        network = Network(**json.loads(_record(backbone).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if network.model and not _intact(network.model_path):
        return None
    return network


def remember(backbone: Backbone, network: Network) -> None:
    """Keep the facts of `network` for `find`."""
    make_folder(folder())
    write_file(_record(backbone), json.dumps(asdict(network), indent=1).encode())


def keep_model(data: bytes) -> str:
    """Store a converted network and return its file name, which carries its hash."""
    name = f"{hashlib.sha256(data).hexdigest()[:32]}.tflite"
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
    if not backbone.digest:
        del asked["digest"]
        if backbone.preprocessing == family(backbone.name).preprocessing:
            del asked["preprocessing"]  # it follows from the name
    return folder() / f"{hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]}.json"


def _intact(path: Path) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.stem)
    except FileNotFoundError:
        return False
