"""`compare-backbones`: every backbone on the same small sample, its accuracy against what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.files import write_file
from cache.text import counted
from cache.workspace import Workspace
from classify.commands.compare_backbones.entrants import FOLDS, Entrant, Ground, backbone_for, named
from classify.commands.compare_backbones.options import CompareOptions, Contest
from classify.commands.compare_backbones.plot import tournament_png
from classify.commands.compare_backbones.standings import Outcome, elect, label, rank
from classify.data.neighbours import near_duplicates
from classify.data.sample import training_sample
from classify.heads.cluster.team import spreader
from classify.heads.folds import check_classes, imbalance
from classify.heads.search import SearchOptions
from classify.report.glossary import words_of
from classify.report.text import csv_bytes
from classify.runs.folder import write_json
from classify.runs.readings import COMMAND
from classify.runs.record import record
from extract.backbones.backbone import Backbone
from extract.commands.manifest import survey
from extract.commands.options import ExtractOptions
from extract.embedding.cluster.driver import embedder
from extract.embedding.progress import Progress, Say, bar
from extract.embedding.thumbnails import complete, thumbnails_of
from extract.settings import AS_NAMED, Columns, Decoding, Options, Ray


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
    columns: Columns = AS_NAMED,
    say: Say = lambda line: None,
    cluster: Ray | None = None,
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
    columns : Columns, optional
        As for `extract`.
    say : callable (line of text), optional
    cluster : Ray, optional
        Who embeds, and fits; costs are measured here.

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
    asked = named(contest)
    manifest, name = _pictures(workspace, source, dataset, progress, data_dir, columns)
    rows = training_sample(
        workspace, name, manifest, contest.sample, test_size=contest.test_size, seed=contest.seed
    )
    sample, notes = manifest.select(rows), list[str]()
    sample.columns = {}
    check_classes(np.array(sample.classes)[sample.label])  # before anything is embedded
    cluster = cluster or Ray()
    with spreader(Ray(cluster.ray), progress.note) as spread, embedder(cluster) as embed:
        ground = Ground(workspace, manifest, sample, decoding, options, progress, say, embed)
        entrants = _entrants(ground, asked, contest, notes)
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
        embedding = entrants[0].top.of(entrants[0].store.gather(sample.key))
        space = entrants[0].store.space
        complete(workspace, space, sample, decoding.max_pixels, progress)
        copies = near_duplicates.groups(sample.key, embedding, thumbnails_of(workspace, space)).group
        how = SearchOptions(FOLDS, contest.seed, spread=spread)
        entries = [entry for each in entrants for entry in each.entries(sample, truth, copies, how)]
    table = rank(entries, truth, contest.seed)
    winner, reason = elect(table)
    outcome = Outcome(workspace.new_run(COMMAND), name, winner, reason, table, notes)
    _write(outcome, contest, decoding, options, manifest, sample)
    return outcome, next(each.backbone for each in entrants if each.store.space.id == winner.space)


def _entrants(
    ground: Ground, asked: Sequence[tuple[str, str]], contest: Contest, notes: list[str]
) -> list[Entrant]:
    """Let all that are asked for enter; who is left out is noted."""
    entrants = list[Entrant]()
    for each, precision in asked:
        try:
            backbone = backbone_for(each, precision, contest)
            ground.say(
                f"{label(each, precision)}: {counted(len(ground.sample), 'picture')} at {backbone.input_size} pixels"
            )
            entrant = ground.enter(backbone, retime=contest.retime)
            twin = next((one for one in entrants if one.store.space == entrant.store.space), None)
            if twin is not None:
                notes.append(f"{label(each, precision)} left out: it is the same network as {twin.label}")
                continue
            entrants.append(entrant)
        except UserError as error:
            if contest.backbones:
                raise
            notes.append(f"{label(each, precision)} left out: {error}")
    if not entrants:
        raise UserError(f"Expected a backbone that can take part, but: {'; '.join(notes)}")
    return entrants


def _pictures(
    workspace: Workspace,
    source: Path | None,
    dataset: str | None,
    progress: Progress,
    data_dir: str | None,
    columns: Columns,
) -> tuple[Manifest, str]:
    if source is not None:
        found = survey(workspace, source, dataset, progress, data_dir, columns=columns)
        return found.manifest, found.dataset
    name = dataset or workspace.state().get("dataset")
    if not name:
        raise UserError(
            f"Expected pictures, but this workspace knows none: run `python cli.py {COMMAND} FOLDER/`."
        )
    return workspace.manifest(name), name


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
        decoding=Decoding(options.resize, resizer=options.resizer),
        options=Options(**asdict(options.engine)),
        progress=bar(say),
        data_dir=options.data_dir,
        columns=options.columns,
        say=say,
        cluster=options.cluster,
    )
    return outcome


def elected(workspace: Workspace, options: ExtractOptions, progress: Progress, say: Say) -> Backbone:
    """The winner of a tournament on the pictures to extract, for `extract --backbone auto`."""
    asked = asdict(options.backbone)
    del asked["backbone"]
    precision = asked.pop("precision")
    outcome, winner = compare_backbones(
        workspace,
        Contest(**asked, precisions=(precision,)),
        source=Path(options.source),
        dataset=options.name,
        decoding=options.decoding,
        options=options.options,
        progress=progress,
        data_dir=options.data_dir,
        columns=options.columns,
        say=say,
        cluster=options.cluster,
    )
    say(f"{outcome.to_text()}\nextracting with {outcome.winner.label}")
    return winner
