"""The files of a fine-tune that people look at."""

from __future__ import annotations

from pathlib import Path

from cache.storage.files import write_file
from cache.text import counted
from cache.versions import now
from classify.commands.finetune.final_model import MODEL
from classify.commands.finetune.report.changed_pictures import changed, changed_csv, contact_sheet
from classify.commands.finetune.report.diagram import diagram_svg
from classify.commands.finetune.report.page import Story
from classify.commands.finetune.result import Outcome, Result, Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.commands.finetune.tested import Tested
from classify.report.confusion import confusion_png, confusion_text
from classify.runs.predictions import save_evaluation, save_validation
from classify.training.curves import curves_png, interpolation_png
from classify.training.history import history_csv
from classify.training.summary import summary_text

FILES = {
    "The finished model": MODEL,
    "Answers on the test part": "predictions.csv",
    "Pictures that validated": "validation.csv",
    "Epochs as a table": "history.csv",
    "Pictures whose answer changed, as a table": "changed.csv",
    "Layers of the backbone": "summary.txt",
    "Accuracy and loss": "curves.png",
    "From the head to the fine-tuned weights": "interpolation.png",
    "Confusion matrix of the head": "confusion_before.png",
    "Confusion matrix of what was chosen": "confusion.png",
    "The network": "diagram.svg",
    "Pictures whose answer changed": "changed.png",
}


def write_pages(
    session: Session, outcome: Outcome, tested: Tested, start: Start, tuned: Tuned, result: Result
) -> None:
    """Write report.md and all that it shows into the run's folder."""
    folder, history, data = outcome.run, outcome.history, start.data
    known, after = data.manifest.paths, tested.after
    head = start.loaded.record["head"]["name"]
    what = outcome.what if history.alpha else "kept unchanged"
    paths = [known[row] for row in tested.rows]
    title = f"{head}, {what}, on {data.name}"
    save_evaluation(folder, outcome.after, paths, tested.truth, after.names, after.certainty, title)
    write_file(folder / "confusion_before.txt", (confusion_text(outcome.before) + "\n").encode())
    write_file(folder / "confusion_before.png", confusion_png(outcome.before, f"{head} on {data.name}"))
    write_file(folder / "history.csv", history_csv(history))
    write_file(folder / "curves.png", curves_png(history, head, data.name))
    write_file(folder / "interpolation.png", interpolation_png(history, f"{head} on {data.name}"))
    write_file(folder / "summary.txt", summary_text(tuned.network).encode())
    write_file(folder / "diagram.svg", diagram_svg(tuned.network, tuned.border, len(start.linear.classes)))
    if not history.folds and not result.again:  # else the final model has trained on every one
        save_validation(folder, (known[row] for row in start.val), start.division.names[start.val])
    changes = changed(
        paths, tested.truth, tested.before.names, after.names, tested.before.certainty, after.certainty
    )
    write_file(folder / "changed.csv", changed_csv(changes))
    if changes:
        root = Path(data.manifest.root)
        row_of = {root / path: row for path, row in zip(paths, tested.rows.tolist(), strict=True)}
        sheet = contact_sheet(root, changes, lambda path: tuned.pixels(data, row_of[path]))
        write_file(folder / "changed.png", sheet)
    story = Story(
        f"Fine-tuning {data.space.backbone} on {data.name}",
        _facts(session, outcome, start, tuned, again=result.again),
        history,
        outcome.before,
        outcome.after,
        outcome.comparison,
        outcome.notes,
        {what: name for what, name in FILES.items() if (folder / name).exists()},
        outcome.original,
        outcome.mixture,
    )
    write_file(folder / "report.md", story.markdown().encode("utf-8"))


def _facts(session: Session, outcome: Outcome, start: Start, tuned: Tuned, *, again: bool) -> dict[str, str]:
    """What there is to know of the run, a line each."""
    history, data, settings = outcome.history, start.data, start.settings
    trained, size = history.epochs[1:], tuned.backbone.input_size
    how = f"{len(start.val):,} for validation{', which then trained, too' if again else ''}"
    if history.folds:
        how = f"validated in {counted(history.folds, 'fold')}"
    answers = f"; answers for {size}" if size != data.space.input_size else ""
    looks = "none besides the plain picture"
    if settings.views:
        looks = f"{settings.views} of the policy {settings.augment}, besides the plain picture"
    facts = {
        "Data set": f"{data.name}: {counted(len(start.train), 'picture')} for training, "
        f"{how}, {outcome.after.n:,} for testing",
        "Started from": f"{start.loaded.record['head']['name']} of {start.loaded.folder.name}{_refitted(outcome)}",
        "Backbone": f"{data.space.backbone}, {data.space.input_size} pixels{answers}",
        "Trained": tuned.border.describe(),
        "Optimizer": f"{settings.optimizer}, learning rate {settings.learning_rate:g}, {settings.schedule}",
        "Views": f"{looks}, of {outcome.view_size} pixels",
        "Time": f"{session.seconds:.0f} s for the whole command, until this page was written: "
        f"{outcome.seconds_caching:.0f} s to cache activations, "
        f"{sum(epoch.seconds for epoch in trained):.0f} s for {counted(len(trained), 'epoch')}",
        "Written": now(),
    }
    if outcome.skipped and len(trained) > 1:
        told = f"{outcome.skipped:,} of {len(start.train):,} pictures in most epochs, easy ones at random"
        facts["Skipped"] = told
    return facts


def _refitted(outcome: Outcome) -> str:
    """Say so where the head was fitted again first, and what that changed."""
    if not (own := outcome.original):
        return ""
    return (
        f", which takes {' and '.join(own.takes)} (CV {own.cv_accuracy:.1%}): fitted again on plain rows of one "
        f"network (CV {own.refitted_cv_accuracy:.1%})"
    )
