"""Backbones that are in no table: the table of their kinds, and what is known of each without opening it again."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from cache.storage import trusted
from extract.backbones.external import downloads, hub_preset, keras_file, saved_model
from extract.machine import import_keras_quietly, quiet_stderr

if TYPE_CHECKING:
    import keras

OUTPUT = "#"  # between where a model is and which of its outputs is meant
VERSION = 1  # of the records: raise it when `describe` comes to answer differently


@dataclass(frozen=True)
class Kind:
    """How backbones of a kind are found, described and built, and what can be done with them."""

    example: str
    locate: Callable[[str], tuple[str, Any, str]]
    describe: Callable[[Any, str, str], tuple[str, int, str]]
    build: Callable[[Any, str, str, int, str], "keras.Model"]
    shows_layers: bool = True
    random: bool = False  # can be had with random weights
    halves: bool = False  # can compute in half precision
    resizes: bool = False  # can be asked for other pictures than it was saved for


KINDS = {
    "savedmodel": Kind(
        "savedmodel:PATH", saved_model.locate, saved_model.describe, saved_model.build, shows_layers=False
    ),
    "keras": Kind("keras:FILE.keras", keras_file.locate, keras_file.describe, keras_file.build, resizes=True),
    "kerashub": Kind(
        "kerashub:PRESET",
        hub_preset.locate,
        hub_preset.describe,
        hub_preset.build,
        random=True,
        halves=True,
    ),
}


@dataclass(frozen=True)
class Foreign:
    """A model from elsewhere; asking Keras about it takes seconds, so all but the place is kept."""

    location: str  # as the user wrote it, with a full path
    digest: str  # SHA-256 of its files
    name: str  # in a space: the kind, its own name, a hash of its architecture, and the output
    input_size: int  # pixels a side; 0: any
    preprocessing: str  # mode, unless told otherwise


def kind_of(name: str) -> Kind | None:
    """The kind of a backbone's name; None for one of the table."""
    return KINDS.get(name.partition(":")[0]) if ":" in name else None


def admit(name: str, trust: bool) -> None:
    """Refuse a model that this user never named, but a file of a workspace does; nothing of it is opened or fetched.

    Raises
    ------
    UserError
        As said, unless `trust`; and if the model is gone.
    """
    kind_name, where, _ = _parts(name)
    told = (
        f"Expected a model that you named before, its files unchanged since; received {name}, which only a file of the "
        "workspace names so. Loading a model can "
        f"read and write files: if you know where it comes from, run `extract FOLDER/ --backbone {name}` once, or pass "
        "--trust where there is such an option."
    )
    if downloads.is_address(where) and not downloads.kept(where) and not trust:
        raise UserError(told)
    digest = KINDS[kind_name].locate(where)[2]
    if not trusted.admitted(digest, trust):
        raise UserError(told)


def find(name: str) -> Foreign:
    """Look a model up that the user named, or `admit` let in, and open it if this is the first time.

    Parameters
    ----------
    name : str
        As "keras:own.keras", or "keras:own.keras#features" for one of several outputs.

    Raises
    ------
    UserError
        If it is not there, damaged, unsafe, or takes no pictures.
    """
    kind_name, where, output = _parts(name)
    kind = KINDS[kind_name]
    where, place, digest = kind.locate(where)
    trusted.admitted(digest, trust=True)
    location = f"{kind_name}:{where}{OUTPUT + output if output else ''}"
    asked = json.dumps([VERSION, kind_name, digest, output])
    record = f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.json"
    try:
        return Foreign(**json.loads((downloads.folder() / record).read_text()) | {"location": location})
    except (FileNotFoundError, ValueError, TypeError):
        pass
    import_keras_quietly()
    with quiet_stderr():
        described, size, preprocessing = kind.describe(place, output, name)
    found = Foreign(
        location, digest, f"{kind_name}:{described}{OUTPUT + output if output else ''}", size, preprocessing
    )
    downloads.keep_record(record, json.dumps(asdict(found) | {"location": ""}).encode())
    return found


def build(location: str, digest: str, size: int, weights: str) -> "keras.Model":
    """Build the network: (B, s, s, 3) preprocessed float to whatever its output is.

    Raises
    ------
    UserError
        If its files are no longer those of `digest`, or it cannot be built for this size.
    """
    kind_name, where, output = _parts(location)
    kind = KINDS[kind_name]
    _, place, found = kind.locate(where)
    if found != digest:
        raise UserError(
            f"Expected the files of {location} as they were ({digest[:12]}), received others ({found[:12]}): they "
            "changed meanwhile. Run extract again."
        )
    return kind.build(place, output, location, size, weights)


def _parts(name: str) -> tuple[str, str, str]:
    kind, _, rest = name.partition(":")
    where, _, output = rest.partition(OUTPUT)
    if not where:
        raise UserError(f"Expected {KINDS[kind].example}, received {name!r}.")
    return kind, where, output
