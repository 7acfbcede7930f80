"""`label`: a page that asks for labels, or a replay that counts what its order saves."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from cache.errors import UserError
from cache.storage.files import locked, make_folder, write_error
from cache.storage.json_file import DamagedJson, check, read_json
from cache.text import counted, on_one_line
from cache.workspace import Workspace
from classify.commands.label.labels import Labels
from classify.commands.label.options import LabelOptions
from classify.commands.label.page import routes
from classify.commands.label.pool import Pool
from classify.commands.label.session import Session, to_json
from classify.commands.label.simulation import Saving, reachable, save
from classify.data.neighbours.cached import neighbours_of
from classify.data.neighbours.copies import copies_of
from classify.pages.serving.app import check_installed, make_app
from classify.pages.serving.pictures import Pictures
from classify.pages.serving.server import EXPOSED, listen, serve
from classify.report.text import span
from classify.runs.folder import write_json
from classify.runs.record import of_space, record
from extract.commands.extract import several
from extract.embedding.extractor import Extractor, embed_all
from extract.embedding.progress import bar
from extract.embedding.runner import Outcome
from extract.embedding.thumbnails import thumbnails_of
from extract.settings import BackboneOptions, Decoding, Options
from extract.sources.unlabelled import list_pictures

FEWEST = 5  # pictures that a simulation needs of each of two classes


@dataclass(frozen=True)
class Simulated:
    """What a replay on labelled pictures has shown."""

    dataset: str
    saving: Saving
    run: Path
    notes: list[str] = field(default_factory=list)

    @property
    def order(self) -> str:
        """What `auto` means on this data set from now on."""
        return "clever" if self.saving.wins else "random"

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        low, high = self.saving.interval
        return {
            "dataset": self.dataset,
            "accuracy": self.saving.accuracy,
            "labels_clever": list(self.saving.clever),
            "labels_random": list(self.saving.random),
            "ratio": self.saving.ratio,
            "ratio_low": low,
            "ratio_high": high,
            "order": self.order,
            "run": str(self.run),
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """The same for people."""
        saving, low_high = self.saving, span(*self.saving.interval)
        clever, random = (f"{np.median(each):,.0f}" for each in (saving.clever, saving.random))
        verdict = (
            "the clever order wins: auto is clever"
            if saving.wins
            else "the clever order does not win here beyond chance: auto is random on this data set"
        )
        return (
            f"labels for {saving.accuracy:.0%} of {on_one_line(self.dataset)}: {clever} in the clever order, {random} "
            f"at random (medians of {len(saving.clever)} seeds): {saving.ratio:.0%} ({low_high})\n{verdict}"
        )


@dataclass(frozen=True)
class Labelled:
    """Where the labelling stands when the page is closed."""

    dataset: str
    file: Path
    order: str
    stands: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "dataset": self.dataset,
            "file": str(self.file),
            "order": self.order,
            **self.stands,
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """The same for people."""
        found = self.stands
        lines = [f"{counted(found['labels'], 'label')}, {found['left']:,} pictures left: {self.file}"]
        if found["accuracy"] is not None:
            low_high = span(found["accuracy_low"], found["accuracy_high"])
            lines.append(
                f"accuracy of a head on them {found['accuracy']:.1%} ({low_high}, n = {found['accuracy_n']:,})"
            )
        return "\n".join(lines)

    @property
    def closing(self) -> list[str]:
        """What to do next."""
        if not self.stands["labels"]:
            return []
        return [f"next: python cli.py extract {self.file}, then python cli.py fit-head"]


def simulate(
    workspace: Workspace,
    data: Embedded,
    *,
    accuracy: float | None = None,
    seeds: int = LabelOptions.seeds,
    say: Callable[[str], None] = lambda text: None,
) -> Simulated:
    """Count the labels that an accuracy takes in the clever order and at random, and keep which `auto` is to be.

    Parameters
    ----------
    workspace : Workspace
    data : Embedded
        Pictures without a label are left out.
    accuracy : float, optional
        Default: 95 % of what all labels give, rounded down.
    seeds : int
        Repetitions.
    say : callable
        Told how it goes.

    Raises
    ------
    UserError
        For fewer than two classes with `FEWEST` pictures.
    """
    pool, _ = _pool(workspace, data, say)
    label = np.where(data.manifest.conflicts(), -1, data.manifest.label)[pool.row]
    counts = np.bincount(label[label >= 0], minlength=2)
    if (counts >= FEWEST).sum() < 2:
        raise UserError(
            f"Expected a data set with labels to simulate on, two classes with {FEWEST} pictures at least, received "
            f"{counted(int((label >= 0).sum()), 'label')} of {data.name!r}. Name another with --dataset."
        )
    known = np.flatnonzero(label >= 0)
    classes = len(data.manifest.classes)
    pool, label = pool.part(known), label[known]
    saving = save(pool, label, classes, accuracy or reachable(pool, label, classes, 0), seeds, say)
    run = workspace.new_run("label")
    found = Simulated(data.name, saving, run, _unreached(saving))
    told = {"dataset": data.name, "root": data.manifest.root, "space": of_space(data.space)}
    write_json(run / "run.json", record("label", **told, result=found.to_json()))
    make_folder(_verdict(workspace, data.name).parent)
    write_json(_verdict(workspace, data.name), {"order": found.order, "run": run.name})
    return found


def _unreached(saving: Saving) -> list[str]:
    times = sum(each >= saving.pool for each in (*saving.clever, *saving.random))
    return [f"not reached with all labels in {counted(times, 'replay')}: they count as all"] if times else []


def _verdict(workspace: Workspace, dataset: str) -> Path:
    return workspace.root / "orders" / f"{quote(dataset, safe=' ', errors='surrogateescape')}.json"


def order_of(workspace: Workspace, dataset: str) -> tuple[str, str]:
    """What `auto` is on a data set, and why."""
    try:
        kept = check(read_json(_verdict(workspace, dataset)), order=str, run=str)
    except (OSError, DamagedJson):
        return "clever", "no simulation was made on this data set"
    return kept.get("order", "clever"), f"by the simulation {kept.get('run')}"


def _pool(workspace: Workspace, data: Embedded, say: Callable[[str], None]) -> tuple[Pool, NDArray[np.int32]]:
    group = copies_of(data, thumbnails_of(workspace, data.space)).group
    found = neighbours_of(data, say)
    for note in found.notes:
        say(note)
    return Pool.of(data, group, found), group


def embedded(
    workspace: Workspace, folder: Path, options: LabelOptions, say: Callable[[str], None]
) -> Embedded:
    """Embed the pictures of a folder that have no labels yet, as a data set of the folder's name.

    Raises
    ------
    UserError
        When nothing is there, no file is a picture, or a data set with labels has the name.
    """
    manifest = list_pictures([folder])
    name = folder.resolve().name
    if name in workspace.datasets() and (workspace.manifest(name).label >= 0).any():
        raise UserError(
            f"Expected a folder of pictures without labels, received {folder}: a data set {name!r} with labels was "
            f"extracted. `label --dataset {name}` asks for what has none in it."
        )
    backbones, outcome, progress = several(BackboneOptions(options.backbone)), Outcome(), bar(say)
    extractor = Extractor(workspace, backbones[0], Decoding(), Options(), progress.note)
    embed_all([extractor], manifest, np.arange(len(manifest)), progress, [outcome])
    workspace.save_manifest(name, manifest)
    if outcome.rejects:
        say(f"{counted(len(outcome.rejects), 'file')} left out: no pictures, or damaged")
    return workspace.load(name, extractor.space.id)


def label(
    workspace: Workspace, data: Embedded, options: LabelOptions, say: Callable[[str], None]
) -> Labelled:
    """Serve the page until Ctrl-C.

    Raises
    ------
    UserError
        When the table is none of ours or is being filled by another `label`, or the address cannot be had.
    """
    listening = listen(options.host, options.port, expose=options.expose)
    order, why = order_of(workspace, data.name) if options.order == "auto" else (options.order, "as asked")
    say(f"order: {order}, {why}")
    pool, group = _pool(workspace, data, say)
    file = Path(options.labels)
    labels = Labels(file)
    session = Session(
        data.manifest, group, pool, labels, options.classes or (), clever=order == "clever", seed=options.seed
    )
    app = make_app(
        routes(session, data.name), listening.token, pictures=Pictures(data.manifest), anywhere=options.expose
    )
    if options.expose:
        say(EXPOSED)
    say(f"label here, Ctrl-C ends it: {listening.address}")
    notes = []
    if options.open and not webbrowser.open(listening.address):
        notes.append("no web browser was found: open the address yourself")
    try:
        with locked(_made(file), wait=False):
            serve(app, listening)
    except BlockingIOError as error:
        raise UserError(
            f"Expected {file} for this program alone, but another `label` fills it. Go on there, or name another file "
            "with --labels."
        ) from error
    finally:
        session.close()
    return Labelled(data.name, file, order, to_json(session), notes)


def _made(file: Path) -> Path:
    """The table; an empty one where there is none."""
    make_folder(file.absolute().parent)
    try:
        file.touch()
    except OSError as error:
        raise write_error(file, error) from error
    return file


def run(options: LabelOptions, say: Callable[[str], None]) -> Simulated | Labelled:
    """Answer the command line."""
    workspace = Workspace.locate(options.workspace)
    if options.simulate:
        data = workspace.load(options.dataset or options.source, options.space)
        accuracy = float(options.accuracy) if options.accuracy else None
        return simulate(workspace, data, accuracy=accuracy, seeds=options.seeds, say=say)
    check_installed()
    if options.source:
        data = embedded(workspace.create(), Path(options.source), options, say)
    else:
        data = workspace.load(options.dataset, options.space)
    return label(workspace, data, options, say)
