"""The end of a fine-tune: one model, one reading of the test part, and the record of both."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from cache.text import counted
from cache.versions import now
from cache.workspace import Workspace
from classify.commands.finetune.final_model import MODEL, FinalModel, save_final
from classify.commands.finetune.mixing.share import Mixture
from classify.commands.finetune.report.files import write_pages
from classify.commands.finetune.result import Beside, Chosen, Outcome, Result, Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.commands.finetune.tested import Answered, Tested, read_test
from classify.data.identity import part_hash
from classify.metrics.comparison import compare
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


def finish(
    session: Session, folder: Path, start: Start, tuned: Tuned, result: Result, seconds_caching: float
) -> Outcome:
    """Write the model, read the test part once, and write what people look at; run.json comes last."""
    chosen, history = result.chosen, result.chosen.history
    kept = history.alpha == 0
    write_weights(tuned.model, result.weights)
    if chosen.enlarged:
        tuned = tuned.at(chosen.enlarged.size)
    fitted = start.trained if result.again else start.train
    final, notes = save_final(session, folder, start, tuned, chosen)
    notes = [*_of_training(start, result), *notes]
    mixture = final.mixture if final else None
    what = "the mixture" if mixture else "fine-tuned"
    when = now()
    tested = read_test(session, start, None if kept else final)
    if tested.lost:
        notes.append(_of_lost(tested.lost))
    log = Log(session.workspace, start.division.test_hash)
    if start.original:
        log.add(_reading(start, start.loaded.record["head"]["params"], when, start.train))
    comparison = None
    if not kept:
        comparison = compare(what, "the head", tested.truth, tested.after.names, tested.before.names)
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
        before=tested.before.evaluate(tested.truth),
        after=tested.after.evaluate(tested.truth),
        comparison=comparison,
        seconds_caching=seconds_caching,
        notes=notes,
        original=_beside(start, tested, "the head fitted again" if kept else what),
        mixture=mixture.summary() if mixture else None,
        mirrored=chosen.mirrored,
        enlarged=chosen.enlarged,
    )
    if outcome.original:
        notes.append(_standing(outcome))
    write_pages(session, outcome, tested, start, tuned, result)
    classes = tested.after.classes.tolist()
    scores.write(folder, scores.Scores.of(start.division, classes, _answers(start, chosen, mixture, tested)))
    _write_record(session.workspace, start, outcome, final, fitted)
    write_page(session.workspace, folder)
    if final and not kept and not outcome.beaten:
        _remember(session.workspace, start, outcome)
    return outcome


def _of_training(start: Start, result: Result) -> list[str]:
    """What there is to say of how it was trained."""
    notes = [*start.notes, *result.chosen.notes, *([result.stopped] if result.stopped else [])]
    if result.again and not result.chosen.history.folds:
        notes.append(
            f"trained again on all {counted(len(start.trained), 'picture')}; figures of validating pictures are of "
            "the network before"
        )
    return notes


def _of_lost(lost: int) -> str:
    return counted(
        lost,
        "test picture could not be read again and is left out",
        "test pictures could not be read again and are left out",
    )


def _answers(start: Start, chosen: Chosen, mixture: Mixture | None, tested: Tested) -> list[scores.Answers]:
    """What is said of the test pictures (m,), and of those that validated by networks that did not train on them."""
    there, several = start.validated, len(start.trials) > 1
    fold = np.repeat(np.arange(len(start.trials)), [len(trial.val) for trial in start.trials])[there]
    validated = mixture.probability if mixture else softmax(chosen.logits / chosen.temperature, axis=1)
    part = "train" if several else "val"
    return [
        scores.Answers("test", tested.rows, tested.after.probability),
        scores.Answers(part, start.val[there], validated, fold if several else None),
    ]


def _beside(start: Start, tested: Tested, what: str) -> Beside | None:
    """Ask the run's own head, whose answers on the test part `fit-head` has read."""
    if (original := start.original) is None:
        return None
    head = original.loaded.head
    own = Answered(head.predict_proba(original.division.X_test)[tested.there], head.classes_)
    return Beside(
        name=original.name,
        takes=tuple(map(str, inputs_of(original.loaded.record))),
        cv_accuracy=original.cv_accuracy,
        refitted_cv_accuracy=start.loaded.record["head"]["cv_accuracy"],
        val_accuracy=original.val_accuracy,
        test=own.evaluate(tested.truth),
        comparison=compare(what, original.name, tested.truth, tested.after.names, own.names),
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


def _write_record(
    workspace: Workspace,
    start: Start,
    outcome: Outcome,
    final: FinalModel | None,
    fitted: np.ndarray,
) -> None:
    model = None
    if final:
        model = {"file": MODEL, "sha256": final.sha256, "classes": list(final.head.classes)}
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
