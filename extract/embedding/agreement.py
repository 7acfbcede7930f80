"""Which calibration an int8 network computes by, chosen by how its rows agree with float32 on the user's pictures."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.store import Store
from cache.text import counted
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.embedding.spaces import PLAIN, backbone_of
from extract.engines.choice import learn_network, open_engine
from extract.engines.conversion import calibrate
from extract.engines.engine import Engine
from extract.pictures.decoding import DECODERS, RejectedImage, render
from extract.pictures.files import address, opened
from extract.settings import Decoding, Options

COMPARED = 64  # pictures that float32 and int8 are compared on
CALIBRATED = 200  # pictures that ranges are measured on, at most
LEAST = 16  # pictures, for either
GOOD = 0.97  # agreement from which the ranges that are there will do
USELESS = 0.8  # agreement below which a network is not to be had in int8


def agreement(exact: np.ndarray, quantised: np.ndarray) -> float:
    """How alike rows point from the middle of the float32 rows: the mean cosine of the angle between them.

    Parameters
    ----------
    exact, quantised : (n, D) float32
        Of the same pictures.

    Returns
    -------
    float
        1 for equal rows, 0 for rows that have nothing to do with each other.
    """
    middle = exact.mean(0)
    a, b = exact - middle, quantised - middle
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean((a * b).sum(1) / np.maximum(lengths, 1e-12)))


def settled(
    workspace: Workspace,
    backbone: Backbone,
    decoding: Decoding,
    options: Options,
    note: Callable[[str], None],
    manifest: Manifest | None = None,
) -> Backbone:
    """Say by which calibration an int8 backbone computes; any other backbone is what it is.

    The calibration by which pictures of this data set have rows already is used on. For a new data set the shipped
    ranges and those of this workspace are tried on a sample, float32 beside int8, and the first that agree well
    are taken; else ranges are measured on a sample of the data set itself. Without a data set nothing is measured.

    Parameters
    ----------
    manifest : Manifest, optional
        The whole data set, of which samples are drawn with seed 0.

    Raises
    ------
    UserError
        If rows in int8 would be useless, or there are too few pictures to calibrate on.
    """
    if backbone.precision != "int8" or backbone.calibration is not None:
        return backbone
    kept = list(_kept(workspace, backbone, decoding))
    rows = [_rows(store, manifest) for store, _ in kept]
    if any(rows):
        return kept[int(np.argmax(rows))][1]
    if manifest is None:
        return backbone
    candidates = [backbone] if backbone.ranges else []
    candidates += [known for _, known in kept if known.calibration is not None]
    pixels = sample(manifest, max(COMPARED, CALIBRATED), backbone.input_size, decoding)
    if len(pixels) < LEAST:
        return _unmeasured(candidates, len(pixels), backbone, note)
    exact = _embed(replace(backbone, precision="float32"), pixels[:COMPARED], note)
    best = 0.0
    for candidate in candidates:
        found = agreement(exact, _embed(candidate, pixels[:COMPARED], note))
        if found >= GOOD:
            note(
                _told(
                    found, len(exact), "calibrated on photographs" if candidate is backbone else "as before"
                )
            )
            return candidate
        best = max(best, found)
    if options.shard != (1, 1):
        raise UserError(
            f"Expected an int8 network whose rows agree with float32 by {GOOD}, received {best:.3f}; and each machine "
            "would calibrate another. Run extract without --shard on some of the pictures first, in this workspace, "
            "or pass --precision float32."
        )
    calibration = calibrate(backbone, pixels)
    calibrated = replace(backbone, calibration=calibration)
    found = agreement(exact, _embed(calibrated, pixels[:COMPARED], note))
    if found < USELESS:
        raise UserError(
            f"Expected an int8 network whose rows agree with float32 by {USELESS}, received {found:.3f} on "
            f"{len(exact)} pictures, calibrated on {len(pixels)} of them. Pass --precision float32."
        )
    before = f", where the ranges there were give {best:.3f}" if candidates else ""
    note(_told(found, len(exact), f"calibrated on {len(pixels)} of these pictures{before}"))
    return calibrated


def _told(found: float, count: int, how: str) -> str:
    return (
        f"int8 rows agree with float32 by {found:.3f} (mean cosine of centred rows, {count} pictures), {how}"
    )


def _unmeasured(
    candidates: list[Backbone], count: int, backbone: Backbone, note: Callable[[str], None]
) -> Backbone:
    if not candidates:
        raise UserError(
            f"Expected at least {LEAST} readable pictures to calibrate {backbone.name} on for int8, received {count}. "
            "Pass --precision float32."
        )
    note(f"int8 not compared with float32: {counted(count, 'picture')}, and {LEAST} are needed for that")
    return candidates[0]


def _kept(workspace: Workspace, backbone: Backbone, decoding: Decoding) -> Iterator[tuple[Store, Backbone]]:
    """Stores of this network in int8 on plain pictures, and the backbone of each with its calibration."""
    if not workspace.exists:
        return
    for store in workspace.spaces():
        space = store.space
        decoder = DECODERS[decoding.resizer]
        fits = (space.backbone, space.resize, space.decoder) == (backbone.name, decoding.resize, decoder)
        if not (fits and space.view == PLAIN and space.precision.startswith("int8")):
            continue
        try:
            found = backbone_of(store)
        except UserError:  # its calibration or its weights are lost
            continue
        if replace(found, calibration=None) == backbone:
            yield store, found


def _rows(store: Store, manifest: Manifest | None) -> int:
    return len(store) if manifest is None else int(store.contains(manifest.key[manifest.hashed]).sum())


def sample(manifest: Manifest, count: int, size: int, decoding: Decoding) -> np.ndarray:
    """(n, s, s, 3) uint8: pictures drawn with seed 0, up to `count` that can be read."""
    found: list[np.ndarray] = []
    for row in np.random.default_rng(0).permutation(len(manifest)):
        try:
            with opened(address(manifest, row)) as contents:
                found.append(render(contents.data, b"", size, decoding, None))
        except RejectedImage:
            continue
        if len(found) == count:
            break
    return np.stack(found) if found else np.empty((0, size, size, 3), np.uint8)


def _embed(backbone: Backbone, pixels: np.ndarray, note: Callable[[str], None]) -> np.ndarray:
    network, built = learn_network(backbone, "litert", note)
    engine: Engine = built or open_engine("litert", backbone, network, lanes=1)
    steps = range(0, len(pixels), engine.batch_size)
    rows = np.concatenate([engine.embed(pixels[i : i + engine.batch_size]) for i in steps])
    return rows.reshape(len(pixels), -1)
