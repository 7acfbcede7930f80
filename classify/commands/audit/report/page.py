"""report.md of an audit."""

from __future__ import annotations

from cache.text import counted
from cache.versions import now
from classify.commands.audit.kinds.issue import KINDS
from classify.commands.audit.result import Audited
from classify.report.text import escape, table

LISTED = 30  # issues of a kind in the page; the table has all
ABOUT = {
    "label": "The most suspicious first: the label's probability, by models that had not seen the picture, times the "
    "share of the nearest pictures that carry it. `mended.csv` has the suggested labels: look before using it.",
    "copy": "Copies of one picture that contradict one another. A copy in two parts makes a test too easy.",
    "outlier": "Farther from the middle of every class than others are: other subjects, drawings, damaged files, or "
    "the only ones of their sort.",
    "pixels": "What the pixels alone say: a file may be damaged, or of another source than the others.",
    "class": "Classes that are small, much smaller than others, or that a head could tell by brightness alone.",
}


def page(found: Audited) -> str:
    """Return report.md."""
    manifest = found.data.manifest
    facts = [
        f"- Data set: {escape(found.data.name)}, {counted(len(manifest), 'picture')}",
        f"- Labels judged: {found.judged:,}, by {escape(found.answered_by)}"
        if found.answered_by
        else "- Labels judged: none",
        f"- Written: {now()}",
        *(f"- note: {escape(note)}" for note in found.notes),
    ]
    summary = [[KINDS[kind], f"{len(found.of(kind)):,}"] for kind in KINDS]
    parts = [
        f"# Audit of {escape(found.data.name)}",
        "\n".join(facts),
        table(("Issue", "Found"), summary),
        f"About {found.errors:.0f} of {found.judged:,} labels are wrong, as confident learning estimates. "
        "issues.csv lists all issues, report.html shows them."
        if found.answered_by
        else "issues.csv lists all issues, report.html shows them.",
    ]
    if own := found.sentences():
        parts += ["## How far to trust this", "\n".join(f"- {escape(line)}" for line in own)]
    for kind, name in KINDS.items():
        issues = found.of(kind)
        if not issues:
            continue
        parts += [f"## {name.capitalize()}", ABOUT[kind]]
        columns = ("Class", "Why") if kind == "class" else ("Picture", "Label", "Suggested", "Why")
        rows = [
            [escape(found.place(each)), escape(each.why)]
            if kind == "class"
            else [escape(text) for text in (found.place(each), each.label, each.suggested, each.why)]
            for each in issues[:LISTED]
        ]
        parts.append(table(columns, rows, left=len(columns)))
        if len(issues) > LISTED:
            parts.append(f"{LISTED} of {len(issues):,}.")
    return "\n\n".join(parts) + "\n"
