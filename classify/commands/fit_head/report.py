"""The page about a run: `report.md`, plain Markdown, and the pictures it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cache.storage.files import write_file
from cache.text import counted
from classify.commands.fit_head.curve.learning_curve import LearningCurve
from classify.commands.fit_head.curve.plot import learning_curve_png
from classify.commands.fit_head.leaderboard import HeadResult
from classify.commands.fit_head.mistakes import DRAWN, Mistake
from classify.limits.checked import Checked
from classify.metrics.comparison import Comparison
from classify.metrics.frontier import Frontier
from classify.metrics.reliability import Calibration
from classify.report.confusion import CONFUSION
from classify.report.frontier import frontier_markdown
from classify.report.frontier_plot import frontier_png
from classify.report.glossary import with_words
from classify.report.limits import HEADING, limits_markdown
from classify.report.reliability_diagram import reliability_png
from classify.report.tables import CLASSES, FIGURES, class_table, figures
from classify.report.text import escape, setting, span, table

DIAGRAM, CURVE, MISTAKES, NETWORKS = "reliability.png", "learning_curve.png", "mistakes.png", "frontier.png"


@dataclass(frozen=True)
class Report:
    """What the page says; everything is computed elsewhere.

    `heads` come best first, and the page is about the first. `calibration` maps "out of fold" and "test part"
    to their figures. `facts` are lines such as "Data set" -> "flowers"; `notes` are sentences.
    """

    title: str
    facts: Mapping[str, str]
    heads: Sequence[HeadResult]
    networks: Frontier | None = None
    comparisons: Sequence[Comparison] = ()
    calibration: Mapping[str, Calibration] = field(default_factory=dict)
    limits: Checked | None = None
    curve: LearningCurve | None = None
    mistakes: Sequence[Mistake] = ()  # the surest first
    notes: Sequence[str] = ()


def write_report(folder: Path, report: Report) -> None:
    """Write report.md and its pictures into a run's folder, but for those that are there already."""
    if report.calibration and not (folder / DIAGRAM).exists():
        write_file(folder / DIAGRAM, reliability_png(report.calibration, report.title))
    if report.curve and report.curve.points:
        write_file(folder / CURVE, learning_curve_png(report.curve, report.title))
    if report.networks and not (folder / NETWORKS).exists():
        write_file(folder / NETWORKS, frontier_png(report.networks, report.title))
    write_file(folder / "report.md", markdown(report).encode("utf-8"))


def markdown(report: Report) -> str:
    """Return the page as Markdown text; names from the user's files are escaped."""
    best = report.heads[0]
    parts = [f"# {escape(report.title)}"]
    parts.append("\n".join(f"- {escape(name)}: {escape(value)}" for name, value in report.facts.items()))
    if report.notes:
        parts += ["## Notes", "\n".join(f"- {escape(note)}" for note in report.notes)]
    parts += ["## Heads", _heads(report.heads)]
    parts.append(
        "Accuracy is of the test part, with Wilson's 95 % interval; balanced accuracy is the mean recall of the "
        "classes. Heads and settings were chosen by the cross-validated accuracy (CV) on the training part."
    )
    parts += [escape(each.sentence()) for each in report.comparisons]
    if len(report.comparisons) > 1:
        parts.append("Each pair is tested alone: of twenty pairs of equal heads, one would seem to differ.")
    if report.networks:
        parts += ["## Networks", frontier_markdown(report.networks)]
        parts.append(f"![Accuracy of sets of networks against their cost]({NETWORKS})")
    if report.calibration:
        parts += [f"## Probabilities of {escape(best.name)}", _calibration(report.calibration)]
        parts.append(
            "Log-loss (nats) and Brier score (0 to 2) are better when lower. The calibration error says by how much "
            "confidence and accuracy differ on average; in brackets what chance alone would show, 95 % of the time, "
            "if the probabilities were right."
        )
        parts.append(f"![Reliability diagram: confidence against accuracy]({DIAGRAM})")
    if report.limits:
        parts += [f"## {HEADING}", limits_markdown(report.limits)]
    parts += ["## Classes", class_table(best.evaluation, "Precision", "F1")]
    if len(best.evaluation.classes) > CLASSES:
        parts.append(f"The {CLASSES} classes with the lowest recall; report.json has all.")
    parts.append(f"![Confusion matrix]({CONFUSION})")
    if report.mistakes:
        parts += ["## Surest mistakes", _mistakes(report.mistakes), f"![The surest mistakes]({MISTAKES})"]
    if report.curve:
        parts += ["## More labels", escape(report.curve.sentence())]
        if report.curve.points:
            parts += [_curve(report.curve), f"![Learning curve]({CURVE})"]
        if report.curve.notes:
            parts.append("\n".join(f"- {escape(note)}" for note in report.curve.notes))
    return with_words("\n\n".join(part for part in parts if part))


def _heads(heads: Sequence[HeadResult]) -> str:
    rows = []
    for head in heads:
        settings = ", ".join(f"{name} = {setting(value)}" for name, value in head.params.items())
        cv = f"{head.cv_accuracy:.1%} ± {head.cv_std:.1%}"
        rows.append(
            [escape(head.name), escape(settings), *figures(head.evaluation), cv, f"{head.seconds:.1f}"]
        )
    return table(("Head", "Settings", *FIGURES, "CV accuracy", "Seconds"), rows, left=2)


def _calibration(sets: Mapping[str, Calibration]) -> str:
    rows = [
        (
            escape(name),
            when,
            f"{found.n:,}",
            f"{found.log_loss:.3f}",
            f"{found.brier:.3f}",
            f"{found.ece:.3f} ({found.chance_low:.3f} to {found.chance_high:.3f})",
        )
        for name, each in sets.items()
        for when, found in (
            ("before", each.before),
            (f"after (temperature {each.temperature:.3g})", each.after),
        )
    ]
    return table(("Rows", "Calibration", "n", "Log-loss", "Brier", "Calibration error"), rows, left=2)


def _mistakes(found: Sequence[Mistake]) -> str:
    rows = [
        (escape(m.path), escape(m.label), escape(m.predicted), f"{m.probability:.1%}", m.part)
        for m in found[:DRAWN]
    ]
    text = (
        f"{counted(len(found), 'picture')} got a wrong answer from a model that had not trained on it: the test "
        "pictures from "
        "this head, the training pictures from those of cross-validation. Where a model is sure and wrong, look at the "
        "label first. mistakes.csv lists all."
    )
    return f"{text}\n\n{table(('Picture', 'Label', 'Answer', 'Probability', 'Part'), rows, left=3)}"


def _curve(curve: LearningCurve) -> str:
    rows = [
        (f"{p.size:,}", f"{p.share:.0%}", str(len(p.draws)), f"{p.accuracy:.1%}", span(p.low, p.high))
        for p in curve.points
    ]
    text = table(("Labels", "Share", "Draws", "Accuracy", "95 % interval"), rows, left=0)
    how = f"Each accuracy is over the {counted(curve.n, 'training picture')}, held out in turn by {curve.folds} folds."
    return f"{text}\n\n{how}"
