"""`evaluate`: a run answers for labelled pictures that it has not seen; copies of what it has seen are told apart."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.workspace import Workspace
from classify.commands.evaluate.copies import copies_of_training
from classify.commands.evaluate.options import EvaluateOptions
from classify.commands.evaluate.report import write_record
from classify.commands.evaluate.result import Evaluated
from classify.limits.checked import Checked, check_limits
from classify.limits.learned import FILE, Limits
from classify.metrics.evaluation import evaluate as measure
from classify.models.classifier import HeadClassifier, ModelClassifier, open_classifier
from classify.pages.page import write_page
from classify.runs.standing import answering
from extract.commands.extract import all_rejected
from extract.embedding.progress import Progress, bar
from extract.settings import AS_NAMED, Columns, Options
from extract.sources.source import open_source


def evaluate(
    workspace: Workspace,
    source: Path,
    *,
    run: str | None = None,
    options: Options | None = None,
    trust: bool = False,
    data_dir: str | None = None,
    columns: Columns = AS_NAMED,
    progress: Progress | None = None,
) -> Evaluated:
    """Let a run answer for labelled pictures, and write a run folder with the figures.

    The pictures do not become a data set of the workspace, and nothing is trained or chosen.

    Parameters
    ----------
    workspace : Workspace
    source : Path
        What `extract` takes.
    run : str, optional
        Run folder, or a .keras file that coldframe wrote; default: the best.
    options : Options, optional
        Engine, batch size and reading threads.
    trust : bool
        Load a head or model that this user did not make.
    data_dir : str, optional
        Of TensorFlow Datasets.
    columns : Columns, optional
        How the source calls its columns.
    progress : Progress, optional

    Raises
    ------
    UserError
        For a source without labelled pictures, classes that the run does not know, or a run that cannot be loaded.
    """
    progress = progress or Progress()
    classifier = open_classifier(workspace, run, options=options, trust=trust, progress=progress)
    classes = classifier.classes_
    opened = open_source(workspace, source, data_dir=data_dir, columns=columns, note=progress.note)
    scanned = opened.scan()
    manifest, notes = _labelled(scanned.manifest)
    _check_classes(manifest, classes.tolist(), str(source))
    found = classifier.answer(manifest, progress)
    rejects = scanned.rejects + found.rejects
    if not found.present.any():
        raise UserError(all_rejected(f" in {opened.name}", len(rejects)))
    manifest, probability, rows = manifest.select(found.present), found.probability, found.rows
    conflicts = manifest.conflicts()
    if conflicts.any():
        notes.append(f"{conflicts.sum():,} rows left out: the same picture carries two labels")
        manifest, probability = manifest.select(~conflicts), probability[~conflicts]
        rows = None if rows is None else rows[~conflicts]
    if not len(manifest):
        raise UserError(f"Expected a picture with one label in {source}, received none.")
    copy, more = copies_of_training(workspace, classifier.run, classifier.record, manifest, trust, progress)
    truth = np.array(manifest.classes)[manifest.label]
    predicted = classes[probability.argmax(axis=1)]
    without = None
    if copy.any():
        notes.append(
            f"{copy.sum():,} of {len(copy):,} pictures are copies or near copies of what the run was trained on: it "
            "may remember them"
        )
        if not copy.all():
            without = measure(truth[~copy], predicted[~copy], probability[~copy], classes)
    result = Evaluated(
        run=workspace.new_run("evaluate"),
        answered_by=classifier.run,
        dataset=opened.name,
        paths=list(manifest.paths),
        truth=truth,
        predicted=predicted,
        probability=probability.max(axis=1),
        copy=copy,
        evaluation=measure(truth, predicted, probability, classes),
        without=without,
        limits=_limits(classifier, truth, probability, rows, ~copy),
        said=answering(workspace, classifier.run, classifier.record, classes.tolist(), bool(run)),
        rejects=rejects,
        notes=notes + more,
    )
    write_record(result, manifest, classifier.source, manifest.root)
    write_page(workspace, result.run)
    return result


def _limits(
    classifier: HeadClassifier | ModelClassifier,
    truth: np.ndarray,
    probability: np.ndarray,
    rows: np.ndarray | None,
    new: np.ndarray,
) -> Checked | None:
    """Hold the run's limits against the pictures that are new to it; runs of older versions have none."""
    if rows is None or not new.any() or not os.path.lexists(classifier.run / FILE):
        return None
    limits = Limits.load(classifier.run)
    return check_limits(limits, classifier.classes_.tolist(), truth[new], probability[new], rows[new])


def _labelled(manifest: Manifest) -> tuple[Manifest, list[str]]:
    without = manifest.label < 0
    notes = [f"{without.sum():,} pictures left out: no label"] if without.any() else []
    return manifest.select(~without), notes


def _check_classes(manifest: Manifest, known: list[str], source: str) -> None:
    """Refuse a class that the run does not know: none of its pictures could be answered rightly."""
    there = sorted({manifest.classes[label] for label in manifest.label.tolist()})
    if not there:
        raise UserError(
            f"Expected labelled pictures in {source}, received none: one folder a class, or a table with a column "
            "label. `predict` answers for pictures without labels."
        )
    unknown = [name for name in there if name not in known]
    if unknown:
        near = {name: get_close_matches(name, known, 1) for name in unknown}
        listed = ", ".join(
            name + (f" (did you mean {near[name][0]}?)" if near[name] else "") for name in unknown
        )
        raise UserError(
            f"Expected classes that the run knows ({', '.join(known)}) in {source}, received {listed} too. Name the "
            "classes as in training, or leave these pictures out."
        )


def run(options: EvaluateOptions, say: Callable[[str], None]) -> Evaluated:
    """Answer the command line."""
    return evaluate(
        Workspace.locate(options.workspace),
        Path(options.source),
        run=options.run,
        options=Options(**asdict(options.engine)),
        trust=options.trust,
        data_dir=options.data_dir,
        columns=options.columns,
        progress=bar(say),
    )
