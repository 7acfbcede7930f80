"""`watch`: pictures in a folder are classified as they arrive, and the answers appended to a table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import UserError
from cache.text import counted, on_one_line
from cache.versions import now
from cache.workspace import Workspace
from classify.commands.watch.arrivals import Arrivals
from classify.commands.watch.options import WatchOptions
from classify.commands.watch.table import Table
from classify.limits import learned
from classify.limits.checked import ALARMS
from classify.limits.learned import Limits
from classify.models.classifier import Answered, HeadClassifier, ModelClassifier, open_classifier
from extract.embedding.progress import Progress
from extract.settings import Options
from extract.sources.unlabelled import unlabelled

Classifier = HeadClassifier | ModelClassifier


@dataclass
class Watched:
    """What was answered until somebody ended it."""

    file: Path
    run: Path
    pictures: int = 0
    rejects: int = 0
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "file": str(self.file),
            "run": str(self.run),
            "pictures": self.pictures,
            "rejects": self.rejects,
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """Return how much was answered, and where the answers are."""
        return f"{counted(self.pictures, 'picture')} classified, {self.rejects:,} rejected: {self.file}"


class Watch:
    """A folder, what answers for its pictures, and the table of the answers.

    Parameters
    ----------
    folder : Path
    classifier : HeadClassifier or ModelClassifier
    table : Table
        Pictures that it has an answer for are no news; the table itself never is.
    say : callable
        Told of each answer.
    """

    def __init__(
        self,
        folder: Path,
        classifier: Classifier,
        table: Table,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._folder, self._classifier, self._table, self._say = folder, classifier, table, say
        mine = os.path.relpath(table.path.absolute(), folder.absolute()).replace(os.sep, "/")
        self._arrivals = Arrivals(folder, [*table.answered, mine])
        limits = isinstance(classifier, HeadClassifier) and os.path.lexists(classifier.run / learned.FILE)
        self._limits = Limits.load(classifier.run) if limits else None
        self.watched = Watched(table.path, classifier.run)

    def look(self) -> int:
        """Answer for what has arrived since the last look; returns how many files that was."""
        arrived = self._arrivals.look()
        if not arrived:
            return 0
        manifest = unlabelled([str(self._folder / path) for path in arrived])
        found = self._classifier.answer(manifest, Progress())
        rejected = {each.path: each.reason for each in found.rejects}
        rows, told, unknown = list[tuple[str, ...]](), list[str](), self._unknown(found)
        place = {row: at for at, row in enumerate(np.flatnonzero(found.present).tolist())}
        for row, path in enumerate(arrived):
            if row in place:
                p = found.probability[place[row]]
                label = str(self._classifier.classes_[p.argmax()])
                rows.append((path, label, f"{p.max():.6f}", unknown[place[row]], "", now()))
                told.append(f"{on_one_line(path)}: {on_one_line(label)} {p.max():.1%}")
            else:
                reason = rejected.get(manifest.paths[row], "unknown")
                rows.append((path, "", "", "", reason, now()))
                told.append(f"rejected {on_one_line(path)}: {reason}")
        self._table.append(rows)
        for row in place:
            self._arrivals.answered(arrived[row])
        self.watched.pictures += len(place)
        self.watched.rejects += len(arrived) - len(place)
        for line in told:
            self._say(line)
        return len(arrived)

    def _unknown(self, found: Answered) -> list[str]:
        if self._limits is None or found.rows is None or not len(found.rows):
            return [""] * len(found.probability)
        if ALARMS < 1 / (1 + len(self._limits.novelty.known)):  # too few to show it
            return [""] * len(found.probability)
        typical = self._limits.novelty.typical(found.rows, found.probability)
        return ["yes" if each <= ALARMS else "no" for each in typical.tolist()]


def run(options: WatchOptions, say: Callable[[str], None]) -> Watched:
    """Answer the command line, until Ctrl-C."""
    folder = Path(options.folder)
    if not folder.is_dir():
        raise UserError(
            f"Expected a folder to watch, received {folder}, which is none. Make it, or name another."
        )
    table = Table(Path(options.out) if options.out else folder / "answers.csv")
    workspace, progress = Workspace.locate(options.workspace), Progress(note=say)
    settings = Options(**asdict(options.engine))
    classifier = open_classifier(
        workspace, options.run, options=settings, trust=options.trust, progress=progress
    )
    watch = Watch(folder, classifier, table, say)
    say(f"{classifier.run.name} answers for what arrives in {folder}; Ctrl-C ends it")
    try:
        while True:
            watch.look()
            time.sleep(options.every)
    except KeyboardInterrupt:
        return watch.watched
