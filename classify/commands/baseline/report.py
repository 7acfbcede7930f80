"""The files of a run of the baseline; run.json comes last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from cache.space import Space
from cache.storage.files import write_file
from cache.text import counted
from cache.versions import now, versions
from cache.workspace import Workspace
from classify.commands.baseline.result import NAME, Outcome, Setup, Tested
from classify.pages.page import write_page
from classify.report.card import write_card
from classify.report.confusion import CONFUSION
from classify.report.glossary import with_words
from classify.report.tables import class_table
from classify.report.text import escape, span, table
from classify.runs.folder import write_json
from classify.runs.predictions import of_tables, save_evaluation, save_validation
from classify.runs.readings import standing
from classify.runs.record import of_division, of_space, record
from classify.runs.scores import Answers, Scores, write
from classify.training.curves import curves_png
from classify.training.history import history_csv
from classify.training.summary import summary_text
from extract.embedding.spaces import PLAIN
from extract.pictures.decoding import DECODERS

if TYPE_CHECKING:
    import keras

MODEL = "model.keras"


def keep(
    workspace: Workspace,
    outcome: Outcome,
    setup: Setup,
    model: keras.Model,
    tested: Tested,
    seconds: Callable[[], float],
) -> Outcome:
    """Write the model, as `classify.commands.baseline.network.finished` gave it, and what people look at.

    `seconds` tells how long the command has taken; the outcome that is returned has it as of when its page was written.
    """
    from classify.models.model_file import save_model
    from extract.backbones.network import hash_weights

    folder, settings, division, decoding = outcome.run, setup.settings, setup.division, setup.decoding
    data, paths, names = division.data, division.data.manifest.paths, division.names
    space = Space(
        backbone=NAME,
        weights=hash_weights(model),
        pooling="flatten",
        input_size=settings.input_size,
        resize=decoding.resize,
        preprocessing="x / 255",
        decoder=DECODERS[decoding.resizer],
        view=PLAIN,
    )
    facts = {
        "classes": list(setup.classes),
        "input_size": settings.input_size,
        "resize": decoding.resize,
        "decoder": DECODERS[decoding.resizer],
        "backbone": NAME,
        "pooling": "flatten",
        "head": NAME,
        "versions": versions("keras", "numpy"),
    }
    sha256 = save_model(model, folder / MODEL, facts)
    rows, probability = tested.rows, tested.probability.max(axis=1)
    where = [paths[row] for row in rows]
    title = f"a small network from scratch on {data.name}"
    save_evaluation(folder, outcome.evaluation, where, names[rows], tested.predicted, probability, title)
    write_file(folder / "history.csv", history_csv(outcome.history))
    write_file(folder / "curves.png", curves_png(outcome.history, "", data.name))
    write_file(folder / "summary.txt", summary_text(model.get_layer("classifier")).encode())
    answers = Answers("val", setup.val, tested.validated), Answers("test", rows, tested.probability)
    write(folder, Scores.of(division, setup.classes, answers))
    save_validation(folder, (paths[row] for row in setup.val), names[setup.val])
    outcome = replace(outcome, seconds=seconds())
    write_file(folder / "report.md", _page(outcome, setup).encode("utf-8"))
    described = record(
        NAME,
        parameters=asdict(settings),
        **of_division(division, {"trained on": len(setup.fit), "validated on": len(setup.val)}),
        divided_in=data.space.id,  # whose embeddings told the near copies
        space=of_space(space),
        model={"file": MODEL, "sha256": sha256, "classes": list(setup.classes)},
        result=outcome.to_json(),
        test=outcome.evaluation.to_json(),
        **of_tables(folder),
        **standing(workspace, division.test_hash),
    )
    write_card(workspace, folder, described, outcome.evaluation)
    write_json(folder / "run.json", described)
    write_page(workspace, folder)
    return outcome


def _page(outcome: Outcome, setup: Setup) -> str:
    e, history = outcome.evaluation, outcome.history
    settings, dataset, fit = setup.settings, setup.division.data.name, len(setup.fit)
    facts: dict[str, Any] = {
        "Data set": f"{dataset}: {counted(fit, 'picture')} for training, "
        f"{history.val_n:,} for validation, {e.n:,} for testing",
        "Network": f"three convolutions and two dense layers on {settings.input_size} pixels, "
        f"{outcome.parameters:,} parameters, random first weights (seed {settings.seed})",
        "Training": f"Adam, learning rate {settings.lr:g}, views of the policy {settings.augment}",
        "Epochs": f"{len(history.epochs) - 1}, {outcome.seconds_per_epoch:.1f} s each; number {history.best} is kept: "
        "it had the lowest calibrated loss on the validation part",
        "Time": f"{outcome.seconds:.0f} s for the whole command, until this page was written",
        "Written": now(),
    }
    rows = [
        ("validation", f"{outcome.val_accuracy:.1%}", "", f"{history.val_n:,}"),
        ("test", f"{e.accuracy:.1%}", span(e.ci_low, e.ci_high), f"{e.n:,}"),
    ]
    parts = [
        f"# A small network from scratch on {escape(dataset)}",
        "\n".join(f"- {name}: {escape(value)}" for name, value in facts.items()),
        "\n".join(f"- note: {escape(note)}" for note in outcome.notes),
        "## Accuracy",
        table(("Part", "Accuracy", "95 % interval", "n"), rows),
        "## What transfer gains",
        escape(outcome.gain()),
        "## Epochs",
        "![Accuracy and loss over the epochs](curves.png)",
        "## Classes",
        class_table(e, "Precision"),
        f"![Confusion matrix]({CONFUSION})",
    ]
    return with_words("\n\n".join(part for part in parts if part))
