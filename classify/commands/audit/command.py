"""`audit`: look for what is wrong with a data set, in what the cache holds; nothing is embedded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cache.dataset import Embedded
from cache.text import counted
from cache.workspace import Workspace
from classify.commands.audit.answers import Answers, answers_to
from classify.commands.audit.evidence import Evidence, without_copies
from classify.commands.audit.kinds.classes import class_issues
from classify.commands.audit.kinds.copies import copy_issues
from classify.commands.audit.kinds.issue import KINDS, Issue
from classify.commands.audit.kinds.labels import judge, label_issues
from classify.commands.audit.kinds.outliers import outlier_issues
from classify.commands.audit.kinds.pixels import pixel_issues
from classify.commands.audit.labelled import Labelled
from classify.commands.audit.mending import worth
from classify.commands.audit.options import AuditOptions
from classify.commands.audit.planted import plant
from classify.commands.audit.report.files import write_record
from classify.commands.audit.result import Audited
from classify.data.neighbours.cached import neighbours_of
from classify.data.neighbours.copies import copies_of
from extract.embedding.progress import Progress, bar
from extract.embedding.spaces import largest
from extract.embedding.thumbnails import complete, facts_of, thumbnails_of


def audit(
    workspace: Workspace,
    *,
    dataset: str | None = None,
    space: str | None = None,
    run: str | None = None,
    planted: float | None = None,
    seeds: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> Audited:
    """Look for wrong labels, odd pictures, contradicting copies and lopsided classes in a data set.

    Parameters
    ----------
    workspace : Workspace
    dataset, space : str, optional
        Default: the workspace's current ones.
    run : str, optional
        Whose answers judge the labels; default: the newest that cross-validated on the data set, else a head of the
        audit's own.
    planted : float, optional
        Share of labels to change in copies, to test the audit.
    seeds : int
        So many copies.
    seed : int
        Of folds, and of the first copy.
    progress : Progress, optional

    Raises
    ------
    UserError
        For unknown names, nothing extracted, or a run without answers to each picture.
    """
    progress = progress or Progress()
    data = workspace.load(dataset, space)
    evidence, labelled, answers = _evidence(workspace, data, run, seed, progress)
    judgement = judge(evidence.label, evidence.probability, labelled.voters)
    pixels, unseen = pixel_issues(evidence)
    found: dict[str, list[Issue]] = {
        "label": label_issues(evidence, judgement),
        "copy": copy_issues(evidence),
        "outlier": outlier_issues(evidence),
        "pixels": pixels,
        "class": class_issues(evidence),
    }
    trial, mending = None, None
    if planted is not None:
        progress.note(f"planting errors in {counted(seeds, 'copy', 'copies')}")
        trial = plant(labelled, share=planted, seeds=seeds, seed=seed)
        if trial is not None:
            progress.note("cross-validating on mended labels")
            mending = worth(labelled, strength=trial.strength, seed=seed)
    notes = [*answers.notes, *evidence.copies.notes, *evidence.others.notes, *unseen]
    if planted is not None and trial is None:
        notes.append(
            "no errors were planted: that takes two classes, and pictures enough for the share to be one or more"
        )
    if data.missing:
        notes.append(f"left out: {counted(data.missing, 'file')} of {data.name} without an embedding")
    result = Audited(
        run=workspace.new_run("audit"),
        data=data,
        answered_by=answers.by,
        issues=[issue for kind in KINDS for issue in found[kind]],
        judged=int(np.isfinite(judgement.suspicion).sum()),
        errors=judgement.errors,
        nearest=evidence.others.index,
        planted=trial,
        worth=mending,
        notes=notes,
    )
    write_record(workspace, result, answers.run)
    return result


def _evidence(
    workspace: Workspace, data: Embedded, run: str | None, seed: int, progress: Progress
) -> tuple[Evidence, Labelled, Answers]:
    complete(workspace, data.space, data.manifest, largest(workspace, data.space), progress)
    thumbnails = thumbnails_of(workspace, data.space)
    copies = copies_of(data, thumbnails)
    others = without_copies(neighbours_of(data, progress.note), copies.group)
    labelled = Labelled.of(data, copies.group, others)
    answers = answers_to(workspace, data, labelled, run, seed)
    facts = facts_of(workspace, data.space, data.manifest.key)
    return Evidence(data, copies, others, answers.probability, facts), labelled, answers


def run(options: AuditOptions, say: Callable[[str], None]) -> Audited:
    """Answer the command line."""
    return audit(
        Workspace.locate(options.workspace),
        dataset=options.dataset,
        space=options.space,
        run=options.run,
        planted=options.planted,
        seeds=options.seeds,
        seed=options.seed,
        progress=bar(say),
    )
