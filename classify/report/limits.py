"""What limits were worth on pictures that were not trained on, as a part of a page in Markdown."""

from __future__ import annotations

from classify.limits.checked import ERRORS, Checked, Share
from classify.limits.novelty import SCORES
from classify.report.tables import CLASSES
from classify.report.text import escape, span, table

HEADING = "Limits"


def limits_markdown(found: Checked, part: str = "test part") -> str:
    """The section below its heading; `part` names the pictures."""
    return "\n\n".join([*_sets(found, part), *_unknown(found, part), *_abstaining(found, part)])


def _share(found: Share) -> list[str]:
    return [f"{found.value:.1%}", span(found.low, found.high), f"{found.n:,}"]


def _sets(found: Checked, part: str) -> list[str]:
    level = f"{100 * found.level:g}"
    if found.coverage is None:
        return [f"No sets: {found.n:,} independent training pictures cannot show {level} %."]
    order = sorted(found.classes.items(), key=lambda each: each[1].value)[:CLASSES]
    rows = [("all", found.coverage), *((escape(name), share) for name, share in order)]
    text = (
        f"`predict --sets {level}` names, for each picture, classes that are to hold the right one {level} % of the "
        f"time. On the {part} they did so as below, with {found.size:.2f} classes in a set on average; "
        f"{found.empty:.1%} of the sets were empty: no class was probable enough. They were calibrated on "
        f"{found.n:,} independent training pictures, out of fold."
    )
    cells = [[name, *_share(share)] for name, share in rows]
    return [text, table(("Class", "In its set", "95 % interval", "n"), cells)]


def _unknown(found: Checked, part: str) -> list[str]:
    trial, asked = found.trial, f"{100 * found.alarms:g}"
    worth = "That could not be tried: no class could be left out."
    if trial.sets:
        worth = (
            "Each class was left out in turn and told from the others by this score, the best of "
            f"{len(SCORES)}, with an AUROC of {trial.auroc:.3f} ({trial.low:.3f} to {trial.high:.3f}, over "
            f"{trial.sets} times; 0.5 is chance). That says how well it tells pictures like those from each other, and "
            "nothing of pictures of quite other things."
        )
    text = [f"`predict` says *unknown* by the {SCORES[found.score].title}. {worth}"]
    if found.least > found.alarms:
        text.append(
            f"With so few training pictures nothing is unknown at {asked} % false alarms: the least that can be asked "
            f"for is {found.least:.1%}."
        )
        return text
    alarms = found.false_alarms
    text.append(
        f"Of the {alarms.n:,} pictures of the {part} it called {alarms.value:.1%} unknown "
        f"({span(alarms.low, alarms.high)}), where {asked} % were asked for."
    )
    return text


def _abstaining(found: Checked, part: str) -> list[str]:
    if not found.abstaining:
        least = f"{100 * max(ERRORS):g}"
        return [
            f"`predict --max-error {least}` cannot be had: no threshold can be shown to hold with {found.n:,} pictures."
        ]
    rows = [
        [f"{100 * each.most:g} %", f"{each.threshold:.3f}", *_share(each.answered)[:2], *_share(each.wrong)]
        for each in found.abstaining
    ]
    columns = (
        "At most wrong",
        "From probability",
        "Answered",
        "95 % interval",
        "Of them wrong",
        "95 % interval",
        "n",
    )
    return [
        f"`predict --max-error` answers from a probability on above which few enough answers are wrong. On the {part}:",
        table(columns, rows, left=0),
    ]
