"""The end of a fine-tune: one model, one reading of the test part, and the record of both."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from cache.text import counted
from cache.versions import now, versions
from cache.workspace import Workspace
from classify.commands.finetune.mixing.model import build_mixture
from classify.commands.finetune.mixing.share import Mixture, mixture_of
from classify.commands.finetune.network.top import head_on
from classify.commands.finetune.report.files import Tested, write_pages
from classify.commands.finetune.result import Beside, Chosen, Outcome, Result, Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.data.identity import part_hash
from classify.data.splits import TEST
from classify.metrics.comparison import compare
from classify.metrics.evaluation import evaluate
from classify.models.layers import AnyHead, build_model, closed_form
from classify.models.linear import LinearHead
from classify.models.model_file import save_model
from classify.models.probabilities import answer
from classify.pages.page import write_page
from classify.report.card import write_card
from classify.runs import scores
from classify.runs.folder import place_of, remember_best, write_json
from classify.runs.inputs import Input, inputs_of, to_record
from classify.runs.predictions import of_tables
from classify.runs.readings import Log, Reading, standing
from classify.runs.record import of_division, of_space, record
from classify.training.loop import write_weights
from classify.training.skipping import Skipping

MODEL = "model.keras"


def finish(
    session: Session, folder: Path, start: Start, tuned: Tuned, result: Result, seconds_caching: float
) -> Outcome:
    """Write the model, read the test part once, and write what people look at; run.json comes last."""
    division, chosen = start.division, result.chosen
    history = chosen.history
    kept = history.alpha == 0
    write_weights(tuned.model, result.weights)
    if chosen.enlarged:
        tuned = tuned.at(chosen.enlarged.size)
    fitted = start.trained if result.again else start.train
    notes = [*start.notes, *chosen.notes, *([result.stopped] if result.stopped else [])]
    head = closed_form(start.loaded.head) if kept else head_on(tuned.model, start.linear, chosen.temperature)
    sha256, asked = None, [(tuned.backbone.input_size, tuned.decoding)]
    mixture, why = mixture_of(start, chosen)
    notes += [why] if why else []
    if result.again and not history.folds:
        notes.append(
            f"trained again on all {counted(len(fitted), 'picture')}; figures of validating pictures are of the "
            "network before"
        )
    what = "the mixture" if mixture else "fine-tuned"
    if head is None:
        notes.append("layers of a network cannot express the head that is kept: there is no model.keras")
    else:
        mirrored = bool(chosen.mirrored and chosen.mirrored.used)
        facts = _facts(tuned, start, head, history.alpha) | ({"mirrored": True} if mirrored else {})
        if mixture and isinstance(head, LinearHead):
            notes.append(mixture.describe())
            session.say(notes[-1])
            mixed = build_mixture(session, start, tuned, head, mixture.share, facts, mirrored=mirrored)
            model, asked, facts = mixed.model, mixed.asked, mixed.facts
        else:
            network = tuned.exact_network()
            model = build_model(tuned.backbone, tuned.decoding, head, network, mirrored=mirrored)
        sha256 = save_model(model, folder / MODEL, facts)
    rows = np.flatnonzero(division.split.part == TEST)
    probability = start.loaded.head.predict_proba(division.X_test)
    truth, classes = division.truth, start.loaded.head.classes_
    when = now()
    answers = probability
    if not kept:
        count = len(start.linear.classes)
        answers = answer(model, start.data.manifest, rows, asked, count, session.say)
    there = np.isfinite(answers[:, 0])
    if not there.all():
        lost = int((~there).sum())
        told = counted(
            lost,
            "test picture could not be read again and is left out",
            "test pictures could not be read again and are left out",
        )
        notes.append(told)
        rows, truth, probability, answers = rows[there], truth[there], probability[there], answers[there]
    names = [classes[p.argmax(axis=1)] for p in (probability, answers)]
    before, after = (
        evaluate(truth, said, p, classes) for said, p in zip(names, (probability, answers), strict=True)
    )
    comparison = None
    log = Log(session.workspace, division.test_hash)
    if start.original:
        log.add(_reading(start, start.loaded.record["head"]["params"], when, start.train))
    if not kept:
        comparison = compare(what, "the head", truth, names[1], names[0])
        log.add(_reading(start, asdict(start.settings) | {"alpha": history.alpha}, when, fitted))
    notes += log.notes if start.original or not kept else []
    outcome = Outcome(
        run=folder,
        border=tuned.border.layer or "input",
        trainable_parameters=sum(int(np.prod(v.shape)) for v in tuned.model.trainable_variables),
        learning_rate=start.settings.learning_rate,
        view_size=tuned.view_size,
        skipped=Skipping.of(len(start.train), start.settings).skipped,
        history=history,
        before=before,
        after=after,
        comparison=comparison,
        seconds_caching=seconds_caching,
        notes=notes,
        original=_beside(start, truth, there, names[1], "the head fitted again" if kept else what),
        mixture=mixture.summary() if mixture else None,
        mirrored=chosen.mirrored,
        enlarged=chosen.enlarged,
    )
    if outcome.original:
        notes.append(_standing(outcome))
    tested = Tested(rows, truth, names[0], names[1], probability.max(axis=1), answers.max(axis=1))
    write_pages(session, outcome, tested, start, tuned, result)
    scores.write(
        folder, scores.Scores.of(division, classes.tolist(), _answers(start, chosen, mixture, rows, answers))
    )
    _write_record(session.workspace, start, outcome, sha256, head, fitted)
    write_page(session.workspace, folder)
    if sha256 and not kept and not outcome.beaten:
        _remember(session.workspace, start, outcome)
    return outcome


def keep_model(path: Path, tuned: Tuned, start: Start) -> None:
    """Write the model as it is now, uncalibrated."""
    head = head_on(tuned.model, start.linear, 1.0)
    model = build_model(tuned.backbone, tuned.decoding, head, tuned.exact_network())
    save_model(model, path, _facts(tuned, start, head, 1.0))


def _answers(
    start: Start, chosen: Chosen, mixture: Mixture | None, tested: np.ndarray, probability: np.ndarray
) -> list[scores.Answers]:
    """What is said of the test pictures (m,), and of those that validated by networks that did not train on them."""
    there, several = start.validated, len(start.trials) > 1
    fold = np.repeat(np.arange(len(start.trials)), [len(trial.val) for trial in start.trials])[there]
    validated = mixture.probability if mixture else softmax(chosen.logits / chosen.temperature, axis=1)
    part = "train" if several else "val"
    return [
        scores.Answers("test", tested, probability),
        scores.Answers(part, start.val[there], validated, fold if several else None),
    ]


def _beside(start: Start, truth: np.ndarray, there: np.ndarray, said: np.ndarray, what: str) -> Beside | None:
    """Ask the run's own head, whose answers on the test part `fit-head` has read."""
    if (original := start.original) is None:
        return None
    head = original.loaded.head
    probability = head.predict_proba(original.division.X_test)[there]
    own = head.classes_[probability.argmax(axis=1)]
    return Beside(
        name=original.name,
        takes=tuple(map(str, inputs_of(original.loaded.record))),
        cv_accuracy=original.cv_accuracy,
        refitted_cv_accuracy=start.loaded.record["head"]["cv_accuracy"],
        val_accuracy=original.val_accuracy,
        test=evaluate(truth, own, probability, head.classes_),
        comparison=compare(what, original.name, truth, said, own),
    )


def _standing(outcome: Outcome) -> str:
    """Say how what came out does beside the run's own head."""
    assert outcome.original is not None
    own, val, n = outcome.original, outcome.chosen[1], outcome.history.val_n
    figures = f"{own.val_accuracy:.1%} of the {n:,} validating pictures right against {val:.1%}"
    if outcome.beaten:
        return f"{own.name} is better than what came out, with {figures}: predict answers with this run only if told to"
    return f"{own.name} is no better than what came out, with {figures}"


def _reading(start: Start, params: dict[str, Any], tested: str, fitted: np.ndarray) -> Reading:
    return Reading(
        test=start.division.test_hash,
        command="finetune",
        head=start.loaded.record["head"]["name"],
        params=params,
        trained_on=part_hash(start.data.manifest, fitted),
        space=start.data.space.id,
        time=tested,
    )


def _facts(tuned: Tuned, start: Start, head: AnyHead, alpha: float) -> dict[str, Any]:
    return {
        "classes": list(head.classes),
        "input_size": tuned.backbone.input_size,
        "resize": tuned.decoding.resize,
        "decoder": start.data.space.decoder,
        "backbone": tuned.backbone.name,
        "pooling": tuned.backbone.pooling,
        "head": start.loaded.record["head"]["name"],
        "alpha": alpha,
        "versions": versions("keras", "numpy"),
    }


def _write_record(
    workspace: Workspace,
    start: Start,
    outcome: Outcome,
    sha256: str | None,
    head: AnyHead | None,
    fitted: np.ndarray,
) -> None:
    model = {"file": MODEL, "sha256": sha256, "classes": list(head.classes)} if head else None
    described = record(
        "finetune",
        parameters=asdict(start.settings),
        start={
            "run": place_of(start.loaded.folder, outcome.run.parent),
            "head": start.loaded.record["head"]["name"],
            "head_sha256": start.loaded.record["head"]["sha256"],
            **({"refitted": _refitted(start, outcome.original)} if outcome.original else {}),
        },
        **of_division(start.division, {"fine-tuned on": len(fitted), "validated on": len(start.val)}),
        space=of_space(start.data.space),
        inputs=to_record(_inputs(start, outcome)),
        divided_in=start.division.divided_in.id,
        model=model,
        result=outcome.to_json(),
        test={"head": outcome.before.to_json(), "fine_tuned": outcome.after.to_json()},
        interpolations=[asdict(point) for point in outcome.history.line],
        best_epoch=outcome.history.best,
        **of_tables(outcome.run),
        **standing(workspace, start.division.test_hash),
    )
    write_card(workspace, outcome.run, described, outcome.after)
    write_json(outcome.run / "run.json", described)


def _inputs(start: Start, outcome: Outcome) -> tuple[Input, ...]:
    """What of which networks answers."""
    if outcome.mixture and start.original and start.original.answering:
        return start.original.answering.inputs
    return (start.network.plain,)


def _refitted(start: Start, original: Beside) -> dict[str, Any]:
    """What the run says of the head that was fitted in the place of the one it began with."""
    return {
        "inputs": to_record([start.network.plain]),
        "params": start.loaded.record["head"]["params"],
        "cv_accuracy": original.refitted_cv_accuracy,
        "original_cv_accuracy": original.cv_accuracy,
        "original_val_accuracy": original.val_accuracy,
    }


def _remember(workspace: Workspace, start: Start, outcome: Outcome) -> None:
    """Make this the workspace's best run; its CV accuracy counts as that of the run's own head plus what was gained.

    Both heads count on the same validating pictures.
    """
    own, data = outcome.original, start.data
    before, accuracy = outcome.chosen[0], start.loaded.record["head"]["cv_accuracy"]
    if own and start.original:
        before, accuracy, data = own.val_accuracy, own.cv_accuracy, start.original.division.data
    gain, state = outcome.chosen[1] - before, workspace.state()
    used = (state.get("space") or "").split(",")
    if state.get("dataset") == data.name and {space.id for space in data.spaces} < set(used):
        data = workspace.load()  # all spaces in use stay so, though the head does without some
    remember_best(workspace, outcome.run, data, start.division.sha256, accuracy + gain)
