"""A space and the backbone, decoding and view that it names, both ways."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cache.errors import UserError
from cache.manifest import Manifest
from cache.space import LAYER, STAGES, Space, tell_apart
from cache.storage.json_file import DamagedJson, read_json, write_json
from cache.storage.store import Store
from cache.text import counted
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.backbones.calibration import Calibration
from extract.backbones.external import kinds
from extract.backbones.families import own_spelling
from extract.backbones.preprocessing import mode_of, text_of
from extract.engines.network_cache import Network
from extract.pictures.augmentation import View
from extract.pictures.decoding import DECODERS, resizer_of
from extract.settings import EVERY_STAGE, Decoding

PLAIN = "plain"  # what a space calls view 0
CALIBRATION = "calibration.json"
CALIBRATED = "int8 calibrated "  # before the hash of a calibration that is kept beside space.json


def make_space(
    backbone: Backbone, network: Network, decoding: Decoding, dtype: str, view: View | None = None
) -> Space:
    """Name everything that fixes the numbers that `backbone` gives."""
    widths = "+".join(map(str, network.parts))
    return Space(
        backbone=backbone.name,
        weights=network.weights,
        pooling=STAGES + widths if backbone.pooling == EVERY_STAGE else backbone.pooling,
        input_size=backbone.input_size,
        resize=decoding.resize,
        preprocessing=text_of(backbone.preprocessing),
        decoder=DECODERS[decoding.resizer],
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
        EVERY_STAGE if space.parts else space.pooling,
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
    return Decoding(space.resize, largest(workspace, space), resizer_of(space.decoder))


def tell_of_other_resizer(
    workspace: Workspace, store: Store, manifest: Manifest, note: Callable[[str], None]
) -> None:
    """Say where all rows that a network has of these pictures are by another resizer than those of `store`."""
    if store.contains(manifest.key).any():
        return
    space, stores = store.space, {each.space: each for each in workspace.spaces()}
    for resizer, decoder in DECODERS.items():
        other = stores.get(replace(space, decoder=decoder))
        if other and (count := int(other.contains(manifest.key).sum())):
            note(
                f"{space.backbone}: {counted(count, 'row')} by the resizer {resizer} stay, and all are made again by "
                f"{resizer_of(space.decoder)}; to go on with those that are there, pass --resizer {resizer}"
            )


def view_of(space: Space) -> View | None:
    """Name the view of `space`, None for the plain picture; UserError if this version's view is another one."""
    return None if space.view == PLAIN else View.parse(space.view)


def spaces_of(workspace: Workspace, dataset: str | None, backbones: Sequence[str]) -> str:
    """Find the space of each network that has rows of a data set's pictures; ids with commas.

    Parameters
    ----------
    workspace : Workspace
    dataset : str, optional
        Default: the workspace's current one.
    backbones : sequence of str
        Names as `extract --backbone` takes them.

    Raises
    ------
    UserError
        For a network without rows, or with rows in several spaces: the message has the command, or the spaces.
    """
    name = dataset or workspace.state().get("dataset")
    if not name:
        return workspace.load(dataset).space.id  # which says what is missing
    manifest, stores = workspace.manifest(name), workspace.spaces()

    def rows_of(backbone: str) -> list[Store]:
        spelt = own_spelling(backbone)
        return [
            store
            for store in stores
            if store.space.backbone == spelt
            and store.space.view == PLAIN
            and not store.space.pooling.startswith(LAYER)
            and store.contains(manifest.key).any()
        ]

    ids = []
    for backbone in dict.fromkeys(backbones):
        found = rows_of(backbone)
        if not found:
            known = sorted({store.space.backbone for store in stores})
            raise UserError(
                f"Expected rows of {name!r} by {backbone}, found none; there are spaces of "
                f"{', '.join(known) or 'none'}. Run `python cli.py extract {manifest.root} --backbone {backbone}`."
            )
        if len(found) > 1:
            names = tell_apart([store.space for store in found])
            listed = [f"{store.space.id[:12]} ({what})" for store, what in zip(found, names, strict=True)]
            raise UserError(
                f"Expected one space with rows of {name!r} by {backbone}, found {len(found)}: {', '.join(listed)}. "
                "Name the one that you mean, and those of the other networks, with --space."
            )
        ids.append(found[0].space.id)
    return ",".join(ids)
