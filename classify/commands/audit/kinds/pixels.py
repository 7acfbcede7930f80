"""Pictures that are dark, bright, blurred, plain, or oddly shaped or sized, by the facts that `extract` keeps."""

from __future__ import annotations

import numpy as np

from cache.text import counted
from classify.commands.audit.evidence import Evidence
from classify.commands.audit.kinds.issue import Issue
from classify.data.pixels import oddities


def pixel_issues(evidence: Evidence) -> tuple[list[Issue], list[str]]:
    """The odd ones, the oddest of each way to be odd first, and notes on what was not looked at, or is usual here."""
    manifest, found, notes = evidence.data.manifest, list[Issue](), list[str]()
    for odd in oddities(evidence.facts):
        for row in odd.rows.tolist():
            name = manifest.classes[manifest.label[row]] if manifest.label[row] >= 0 else ""
            why = f"{odd.kind.name}: {odd.kind.why(evidence.facts, row)}"
            found.append(Issue("pixels", row, name, 1 - float(odd.score[row]), why))
        if odd.usual:
            notes.append(f"{counted(odd.usual, 'picture')} {odd.kind.name}: usual here, and not listed")
    unknown = int(np.isnan(evidence.facts.width).sum())
    if unknown:
        notes.append(
            f"{counted(unknown, 'picture')} not looked at for pixels: an earlier version embedded "
            f"{'it' if unknown == 1 else 'them'}. Run `extract` on the same folder again: no picture is embedded again"
        )
    return found, notes
