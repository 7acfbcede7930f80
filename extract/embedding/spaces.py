"""A space and the backbone, decoding and view that it names, both ways."""

from dataclasses import replace
from typing import Any

from cache.errors import UserError
from cache.space import Space
from cache.storage.json_file import DamagedJson, read_json, write_json
from cache.storage.store import Store
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.backbones.calibration import Calibration
from extract.backbones.external import kinds
from extract.backbones.preprocessing import mode_of, text_of
from extract.engines.network_cache import Network
from extract.pictures.augmentation import View
from extract.pictures.decoding import DECODER
from extract.settings import Decoding

PLAIN = "plain"  # what a space calls view 0
CALIBRATION = "calibration.json"
CALIBRATED = "int8 calibrated "  # before the hash of a calibration that is kept beside space.json


def make_space(
    backbone: Backbone, network: Network, decoding: Decoding, dtype: str, view: View | None = None
) -> Space:
    """Name everything that fixes the numbers that `backbone` gives."""
    return Space(
        backbone=backbone.name,
        weights=network.weights,
        pooling=backbone.pooling,
        input_size=backbone.input_size,
        resize=decoding.resize,
        preprocessing=text_of(backbone.preprocessing),
        decoder=DECODER,
        view=view.name if view else PLAIN,
        precision=_precision(backbone),
        dtype=dtype,
    )


def backbone_of(store: Store, *, trust: bool = False) -> Backbone:
    """Name the backbone that computes in the space of `store`, with its weights where they were found last.

    Parameters
    ----------
    store : Store
        Of its origin.json the place of a model from elsewhere is believed only as far as `kinds.admit` says; a
        backbone of the table is the one of that name, whatever stands there.
    trust : bool
        Load a model from elsewhere that this user never named.

    Raises
    ------
    UserError
        For such a model, and for one that is gone or another by now.
    """
    space, origin = store.space, store.origin()
    asked = space.backbone
    if kinds.kind_of(space.backbone):
        asked = _place(space.backbone, origin.get("model"))
        kinds.admit(asked, trust)
    backbone = Backbone.of(
        asked,
        origin.get("weights", "pretrained"),
        space.input_size,
        space.pooling,
        space.precision.partition(" ")[0],
        mode_of(space.preprocessing),
    )
    if space.precision.startswith(CALIBRATED):
        backbone = replace(backbone, calibration=_calibration_of(store))
    if backbone.name != space.backbone:
        raise UserError(
            f"Expected {space.backbone} in {asked}, where it was, received {backbone.name}. Put the model back, or run "
            "extract again with the one there is now."
        )
    return backbone


def keep_calibration(store: Store, backbone: Backbone) -> None:
    """Seal a calibration of its own beside `space.json`: with it the same network is made again."""
    path = store.folder / CALIBRATION
    if backbone.calibration is not None and not path.exists():
        write_json(path, {"activations": backbone.calibration.to_json()})


def _precision(backbone: Backbone) -> str:
    return CALIBRATED + backbone.calibration.digest if backbone.calibration else backbone.precision


def _calibration_of(store: Store) -> Calibration:
    path, asked = store.folder / CALIBRATION, store.space.precision.removeprefix(CALIBRATED)
    try:
        calibration = Calibration.from_json(read_json(path)["activations"])
        if calibration.digest != asked:
            raise DamagedJson(f"it is {calibration.digest}")
    except (OSError, DamagedJson, KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"Expected in {path} the calibration {asked}, by which the network of this space is made, but: {error}. "
            "Restore the file, or run extract again: it calibrates anew, in another space."
        ) from error
    return calibration


def _place(name: str, model: Any) -> str:
    """Where a model from elsewhere was found last, if it is of the kind that the space names."""
    if isinstance(model, str) and model.partition(":")[0] == name.partition(":")[0]:
        return model
    raise UserError(
        f"Expected to be told where the model of {name} is, received {model!r} in its space's origin.json. Run "
        "extract again with --backbone and that model: nothing is computed again."
    )


def largest(workspace: Workspace, space: Space) -> int:
    """Pixels of the largest pictures that may have a row in `space`: no smaller limit finds all of them readable."""
    return max(Decoding().max_pixels, workspace.origin(space).get("max_pixels", 0))


def decoding_of(workspace: Workspace, space: Space) -> Decoding:
    """Name the decoding of `space`; UserError if this version decodes differently."""
    decoding = Decoding(space.resize, largest(workspace, space))
    if DECODER != space.decoder:
        raise UserError(
            f"Expected a space decoded by {DECODER!r}, received {space.decoder!r}: another version of coldframe "
            "made it. Run extract again to embed the pictures in a space of this version."
        )
    return decoding


def view_of(space: Space) -> View | None:
    """Name the view of `space`, None for the plain picture; UserError if this version's view is another one."""
    return None if space.view == PLAIN else View.parse(space.view)
