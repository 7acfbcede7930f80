"""The page about a fine-tune: `report.md`, plain Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from urllib.parse import quote

from classify.commands.finetune.report.advice import advice, chosen
from classify.commands.finetune.result import Beside, Together
from classify.metrics.comparison import Comparison
from classify.metrics.evaluation import Evaluation, tie
from classify.metrics.intervals import wilson
from classify.report.glossary import with_words
from classify.report.tables import CLASSES, FIGURES, class_table, figures
from classify.report.text import escape, span, table
from classify.training.history import History

PICTURES = (".png", ".svg")
_COLUMNS = ("Model", *FIGURES)


@dataclass(frozen=True)
class Story:
    """What the page says; everything is computed elsewhere.

    `before` is the head on the test part and `after` the model that is kept; where alpha is 0 both are one
    model. `facts` are lines such as "Data set" -> "flowers", `notes` are sentences. `files` maps what a file
    shows to its path from the page's folder; pictures are shown, others linked.
    """

    title: str
    facts: Mapping[str, str]
    history: History
    before: Evaluation
    after: Evaluation
    comparison: Comparison | None = None
    notes: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    original: Beside | None = None
    mixture: Together | None = None

    def markdown(self) -> str:
        """Return the page as Markdown text; names from the user's files are escaped."""
        parts = [f"# {escape(self.title)}", verdict(self.history)]
        if self.history.alpha:
            parts.append(
                "Epoch and alpha were chosen on these validation pictures, so that the figure flatters the model "
                "a little; the test part below had no say in it."
            )
        if self.mixture and self.original:
            parts.append(_together(self.mixture, self.original, self.history.val_n))
        if self.facts:
            parts.append(
                table(("", ""), [(escape(name), escape(fact)) for name, fact in self.facts.items()], 2)
            )
        if self.notes:
            parts += ["## Notes", "\n".join(f"- {escape(note)}" for note in self.notes)]
        parts += ["## Test part", *self._test()]
        parts += ["## From the head to the fine-tuned weights", _line(self.history)]
        parts.append(
            "At alpha the weights are (1 - alpha) \\* head + alpha \\* fine-tuned (WiSE-FT, arXiv 2109.01903). "
            "Accuracy with Wilson's 95 % interval and losses (nats) are of the validating pictures. Kept is the "
            "lowest calibrated loss, that after temperature scaling, among the points no less accurate than the "
            "head; the head, where the gain is not above one standard error."
        )
        parts += ["## What to try next", "\n".join(f"- {each}" for each in advice(self.history))]
        parts += ["## Classes", class_table(self.after, before=self.before if self.history.alpha else None)]
        if len(self.after.classes) > CLASSES:
            parts.append(f"The {CLASSES} classes with the lowest recall.")
        if self.files:
            parts += ["## Files", *self._files()]
        return with_words("\n\n".join(part for part in parts if part))

    def _test(self) -> list[str]:
        own = self.original
        rows = [[escape(own.name), *figures(own.test)]] if own else []
        head = "head, fitted again" if own else "head"
        if not self.history.alpha:
            one = table(_COLUMNS, [*rows, [f"{head}, kept unchanged", *figures(self.after)]])
            return [one, "Before and after are the same model, so there is nothing to compare."]
        what = "mixture" if self.mixture else "fine-tuned"
        text = table(_COLUMNS, [*rows, [head, *figures(self.before)], [what, *figures(self.after)]])
        if self.comparison:
            said = escape(self.comparison.sentence())
            said += f" {escape(own.comparison.sentence())}" if own else ""
        elif tie(self.before, self.after):
            said = "The intervals overlap: a tie."
        else:
            said = "The intervals do not overlap."
        legend = (
            "Accuracy with Wilson's 95 % interval; balanced accuracy is the mean recall of the classes. Log-loss "
            "(nats), Brier score (0 to 2) and calibration error are better when lower."
        )
        return [text, said, legend]

    def _files(self) -> list[str]:
        shown = {what: path for what, path in self.files.items() if path.lower().endswith(PICTURES)}
        others = [
            f"- [{escape(what)}]({_link(path)})" for what, path in self.files.items() if what not in shown
        ]
        return ["\n".join(others), *(f"![{escape(what)}]({_link(path)})" for what, path in shown.items())]


def verdict(history: History) -> str:
    """Say in plain words what came of it on the validation part."""
    head, kept, n = history.line[0], chosen(history), history.val_n
    if not history.alpha:
        return (
            "Nothing better than the head was found: the head is kept unchanged (alpha 0), with a validation "
            f"accuracy of {head.val_accuracy:.1%} (n = {n:,})."
        )
    change = round((kept.val_accuracy - head.val_accuracy) * n)
    what = f"kept: epoch {history.best}, alpha {history.alpha:.3g}."
    if not change:
        return (
            f"Fine-tuning left validation accuracy at {kept.val_accuracy:.1%} (n = {n:,}) and took the loss from "
            f"{_loss(head.val_loss)} to {_loss(kept.val_loss)}; {what}"
        )
    verb = "lifted" if change > 0 else "lowered"
    count = (
        f"{abs(change):,} picture{'s' if abs(change) > 1 else ''} {'more' if change > 0 else 'fewer'} right"
    )
    return (
        f"Fine-tuning {verb} validation accuracy from {head.val_accuracy:.1%} to {kept.val_accuracy:.1%} "
        f"(n = {n:,}, {count}); {what}"
    )


def _together(mixture: Together, own: Beside, n: int) -> str:
    """Say how the run's own head and the fine-tuned network answer together."""
    return (
        f"The model answers with both, {mixture.share:.0%} {escape(own.name)} and {1 - mixture.share:.0%} the "
        f"fine-tuned network: validation accuracy {mixture.val_accuracy:.1%} together, {own.val_accuracy:.1%} and "
        f"{mixture.tuned_val_accuracy:.1%} alone (n = {n:,}). The share is the one with the lowest loss; it was taken "
        "because that is below the loss of each alone by more than a standard error (with folds: two)."
    )


def _line(history: History) -> str:
    ends, rows = {0.0: "head", 1.0: "fine-tuned"}, []
    for point in history.line:
        low, high = wilson(point.val_accuracy * history.val_n, history.val_n)
        said = [ends.get(point.alpha, ""), "**kept**" if point is chosen(history) else ""]
        rows.append(
            (
                f"{point.alpha:.3g}",
                f"{point.val_accuracy:.1%}",
                span(float(low), float(high)),
                _loss(point.val_loss),
                _loss(point.calibrated_loss),
                ", ".join(filter(None, said)),
            )
        )
    return table(("Alpha", "Accuracy", "95 % interval", "Loss", "Calibrated loss", ""), rows, left=0)


def _loss(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "not finite"


def _link(path: str) -> str:
    return quote(path.encode("utf-8", "surrogateescape"))
