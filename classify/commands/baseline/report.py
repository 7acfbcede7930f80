"""The files of a run of the baseline; run.json comes last."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.space import Space
from cache.storage.files import write_file
from cache.versions import now, versions
from classify.commands.baseline.options import Settings
from classify.commands.baseline.result import NAME, Outcome
from classify.data.division import Division
from classify.report.confusion import CONFUSION
from classify.report.text import csv_bytes, csv_text, escape, span, table
from classify.runs.folder import write_json
from classify.runs.predictions import save_evaluation
from classify.runs.record import of_division, of_space, record
from classify.training.curves import curves_png
from classify.training.history import history_csv
from classify.training.summary import summary_text
from extract.embedding.spaces import PLAIN
from extract.pictures.decoding import DECODER
from extract.settings import Decoding

if TYPE_CHECKING:
    import keras

MODEL = "model.keras"


def keep(
    outcome: Outcome,
    settings: Settings,
    division: Division,
    decoding: Decoding,
    model: keras.Model,
    classes: tuple[str, ...],
    parts: tuple[np.ndarray, np.ndarray, np.ndarray],
    predicted: np.ndarray,
    probability: np.ndarray,
) -> None:
    """Write the model and what people look at.

    Parameters
    ----------
    model : keras.Model
        From `classify.commands.baseline.network.finished`.
    classes : tuple of str
        Names of its C columns.
    parts : three arrays of rows of the manifest
        That trained, that validated, and the m that were tested.
    predicted : (m,) class names
    probability : (m, C)
    """
    from classify.models.model_file import save_model
    from extract.backbones.network import hash_weights

    folder, data, (fit, val, test) = outcome.run, division.data, parts
    space = Space(
        backbone=NAME,
        weights=hash_weights(model),
        pooling="flatten",
        input_size=settings.input_size,
        resize=decoding.resize,
        preprocessing="x / 255",
        decoder=DECODER,
        view=PLAIN,
    )
    facts = {
        "classes": list(classes),
        "input_size": settings.input_size,
        "resize": decoding.resize,
        "backbone": NAME,
        "pooling": "flatten",
        "head": NAME,
        "versions": versions("keras", "numpy"),
    }
    sha256 = save_model(model, folder / MODEL, facts)
    paths, names = data.manifest.paths, division.names
    tested = [paths[row] for row in test]
    save_evaluation(folder, outcome.evaluation, tested, names[test], predicted, probability.max(axis=1))
    write_file(folder / "history.csv", history_csv(outcome.history))
    write_file(folder / "curves.png", curves_png(outcome.history, ""))
    write_file(folder / "summary.txt", summary_text(model.get_layer("classifier")).encode())
    rows = [[paths[row], names[row]] for row in val.tolist()]
    write_file(folder / "validation.csv", csv_bytes(csv_text(["path", "label"], rows)))
    text = _page(outcome, settings, data.name, len(fit))
    write_file(folder / "report.md", text.encode("utf-8"))
    described = record(
        NAME,
        parameters=asdict(settings),
        **of_division(division, {"trained on": len(fit), "validated on": len(val)}),
        divided_in=data.space.id,  # whose embeddings told the near copies
        space=of_space(space),
        model={"file": MODEL, "sha256": sha256, "classes": list(classes)},
        result=outcome.to_json(),
        test=outcome.evaluation.to_json(),
    )
    write_json(folder / "run.json", described)


def _page(outcome: Outcome, settings: Settings, dataset: str, fit: int) -> str:
    e, history = outcome.evaluation, outcome.history
    facts: dict[str, Any] = {
        "Data set": f"{dataset}: {fit:,} pictures for training, {history.val_n:,} for validation, {e.n:,} for testing",
        "Network": f"three convolutions and two dense layers on {settings.input_size} pixels, "
        f"{outcome.parameters:,} parameters, random first weights (seed {settings.seed})",
        "Training": f"Adam, learning rate {settings.lr:g}, views of the policy {settings.augment}",
        "Epochs": f"{len(history.epochs) - 1}, {outcome.seconds_per_epoch:.1f} s each; number {history.best} is kept: "
        "it had the lowest calibrated loss on the validation part",
        "Written": now(),
    }
    rows = [
        ("validation", f"{outcome.val_accuracy:.1%}", "", f"{history.val_n:,}"),
        ("test", f"{e.accuracy:.1%}", span(e.ci_low, e.ci_high), f"{e.n:,}"),
    ]
    classes = [
        (
            escape(e.classes[i]),
            f"{e.support[i]:,}",
            f"{e.recall[i]:.1%}",
            span(e.recall_low[i], e.recall_high[i]),
            f"{e.precision[i]:.1%}",
        )
        for i in e.recall.argsort(kind="stable")[:200]
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
        table(("Class", "n", "Recall", "95 % interval", "Precision"), classes),
        f"![Confusion matrix]({CONFUSION})",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
