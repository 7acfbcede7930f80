"""Which rows of a data set a head takes, and those that a fine-tune can start from: one network's, plain, in floats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from cache.errors import UserError
from cache.space import TOP, Space
from cache.workspace import Workspace, extract_command
from classify.data.division import Division
from classify.data.labelled import Columns
from classify.runs.head_file import LoadedHead
from classify.runs.inputs import Input
from extract.backbones.backbone import Backbone
from extract.embedding.extractor import Extractor
from extract.embedding.progress import Progress, Say
from extract.embedding.spaces import backbone_of, decoding_of
from extract.settings import Options

INT8 = "int8"  # how the precision of such a space begins


@dataclass(frozen=True)
class Network:
    """A network of a head: what the head takes of it, and its plain rows in floats, which may be still to be made."""

    taken: Input
    plain: Input

    @property
    def floats(self) -> Input:
        """The same as is taken, in floats."""
        if not in_integers(self.taken.space):
            return self.taken
        return Input(self.plain.space, self.taken.parts) if self.taken.space.parts else self.plain

    def backbone(self, workspace: Workspace, *, trust: bool = False) -> Backbone:
        """What computes the plain rows by themselves."""
        space = self.taken.space
        found = backbone_of(workspace.store_by_id(space.id), trust=trust)
        found = replace(found, pooling="avg") if space.parts else found
        return replace(found, precision="float32", calibration=None) if in_integers(space) else found


def networks_of(
    workspace: Workspace,
    inputs: Sequence[Input],
    options: Options | None = None,
    note: Say = lambda line: None,
    *,
    trust: bool = False,
) -> tuple[Network, ...]:
    """Name the networks that a head takes, each once, whatever it takes of it."""
    found: dict[Space, Network] = {}
    for taken in inputs:
        plain = taken.space
        if in_integers(plain):
            backbone = Network(taken, taken).backbone(workspace, trust=trust)
            backbone = replace(backbone, pooling="stages") if taken.space.parts else backbone
            plain = _extractor(workspace, taken.space, backbone, options, note).space
            wider = [store.space for store in workspace.spaces() if store.space.parts and len(store)]
            plain = next((each for each in wider if replace(each, pooling=plain.pooling) == plain), plain)
        network = Network(taken, Input(plain, (TOP,) if plain.parts else ()))
        found.setdefault(replace(plain, pooling="avg") if plain.parts else plain, network)
    return tuple(found.values())


def check_there(workspace: Workspace, loaded: LoadedHead, *, trust: bool = False) -> None:
    """Refuse a head whose networks or rows are partly gone.

    Raises
    ------
    UserError
        With the commands that bring the rows back, or what is wrong with a network.
    """
    name, root = loaded.folder.name, loaded.record.get("root") or "FOLDER/"
    stores = {store.space.id: store for store in workspace.spaces()}
    manifest = workspace.manifest(loaded.record["dataset"])
    spaces = [each.space for each in loaded.inputs]
    gone = [
        space
        for space in spaces
        if space.id not in stores or not stores[space.id].contains(manifest.key).any()
    ]
    if gone:
        commands = " and ".join(f"`{extract_command(space, root)}`" for space in gone)
        networks = f"all {len(spaces)} networks" if len(spaces) > 1 else "the network"
        raise UserError(
            f"Expected the rows of {networks} that the head of {name} takes, but those of "
            f"{', '.join(space.backbone for space in gone)} are gone. Run {commands} to have them again, or fine-tune "
            "from another head with --run."
        )
    for space in spaces if len(spaces) > 1 else ():
        try:
            backbone_of(stores[space.id], trust=trust)
        except UserError as error:
            raise UserError(
                f"Expected all {len(spaces)} networks that the head of {name} takes, but {space.backbone} is gone or "
                f"another. {error} Or fine-tune from another head with --run."
            ) from error


def load_rows(
    workspace: Workspace,
    dataset: str,
    inputs: Sequence[Input],
    networks: Sequence[Network],
    options: Options | None = None,
    progress: Progress | None = None,
    *,
    trust: bool = False,
) -> Embedded:
    """Load a data set with all that a head takes and the plain rows of its networks; what is missing is embedded.

    Raises
    ------
    UserError
        When rows that the head takes are gone, or none of the others can be made.
    """
    progress = progress or Progress()
    spaces = dict.fromkeys(each.space.id for each in inputs)
    there = workspace.load(dataset, ",".join(spaces))
    for network in networks:
        space = network.plain.space
        todo = np.flatnonzero(~workspace.store(space).contains(there.manifest.key))
        if space.id not in spaces and len(todo):
            progress.note(f"embedding with {space.backbone} in float32: integers cannot be fine-tuned")
            backbone = network.backbone(workspace, trust=trust)
            backbone = replace(backbone, pooling="stages") if space.parts else backbone
            extractor = _extractor(workspace, network.taken.space, backbone, options, progress.note)
            extractor.embed_known(there.manifest, todo, progress)
        spaces[space.id] = None
    return there if len(spaces) == len(there.stores) else workspace.load(dataset, ",".join(spaces))


@dataclass(frozen=True, eq=False)
class Taken(Embedded):
    """A data set whose rows are some columns of the whole ones."""

    rows: NDArray[np.float32] | None = None  # (n, d)

    @cached_property
    def embedding(self) -> NDArray[np.float32]:
        """(n, d) float32 in manifest order."""
        assert self.rows is not None
        return self.rows


def taken(division: Division, inputs: Sequence[Input]) -> Division:
    """Leave of a division's rows what a head takes, in its order."""
    data = division.data
    spans = tuple(
        (block.start, block.stop)
        for each in inputs
        for block in data.blocks
        if block.space == each.space and (not each.parts or block.part in each.parts)
    )
    columns = Columns("", spans)
    stores = tuple(store for each in inputs for store in data.stores if store.space == each.space)
    rows = columns.of(data.embedding)
    kept = Taken(data.name, stores, data.manifest, data.missing, data.refused, rows=rows)
    return replace(division.using(columns), data=kept)


def in_integers(space: Space) -> bool:
    """Whether the network of a space computes in 8-bit integers."""
    return space.precision.startswith(INT8)


def _extractor(
    workspace: Workspace, like: Space, backbone: Backbone, options: Options | None, note: Say
) -> Extractor:
    """Bind a backbone to rows that are decoded and kept as those of another space."""
    options = replace(options or Options(), dtype=like.dtype)
    return Extractor(workspace, backbone, decoding_of(workspace, like), options, note)
