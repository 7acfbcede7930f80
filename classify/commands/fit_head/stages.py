"""The stages of `fit-head` in words, and how long those to come will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cache.space import side_by_side
from extract.embedding.course import Course
from extract.machine import usable_cores

if TYPE_CHECKING:
    from cache.dataset import Embedded
    from classify.commands.fit_head.options import FitOptions
    from classify.data.division import Division

STOPPING = "Ctrl-C: fits that have begun are finished, then what is ready is written as a run. Ctrl-C again drops it."
# All rows of all draws of a learning curve, in fits on one fold: the sizes of each draw, see `learning_curve.SHARES`.
CURVE = 1.5
MEASURING = 6.0  # seconds to start an engine and time it
PAGES = 4.0  # seconds for the figures and pages, each time; on two cores 2 to 4


@dataclass
class Stages:
    """Tells a course what `fit-head` is at."""

    course: Course = field(default_factory=Course)
    _number: int = 1
    _of: int = 1
    _name: str = ""
    _rows: int = 0
    _folds: int = 5
    _jobs: int = 1
    _curve: bool = False
    _pace: float | None = None  # seconds a fit of the last search

    def load(self) -> None:
        """Import what takes seconds to start."""
        self.course.begin("loading scikit-learn")
        import sklearn.model_selection
        import sklearn.pipeline  # noqa: F401

    def divide(self, data: Embedded) -> None:
        """Near copies are looked for, and the parts are made."""
        self.course.begin(f"dividing {data.name}: {len(data.manifest):,} pictures, near copies on one side")

    def networks(self, names: Sequence[str], number: int, of: int) -> None:
        """Sets of networks are compared; each is a step."""
        self.course.begin(f"choosing networks, set {number} of {of}: {side_by_side(names)}")

    def cost(self, name: str) -> None:
        """What a network costs is measured."""
        self.course.begin(f"{name}: measuring its cost", seconds=MEASURING)

    def place(self, number: int, of: int) -> None:
        """Which of the heads comes now."""
        self._number, self._of = number, of

    def search(self, name: str, division: Division, options: FitOptions) -> None:
        """Settings are tried in cross-validation; each fit is a step."""
        self._name, self._rows, self._folds = name, len(division.y), options.folds
        self._jobs, self._curve = options.n_jobs or usable_cores(), options.curve
        count = f"head {self._number} of {self._of}: " if self._of > 1 else ""
        self.course.begin(
            f"{count}{name}, settings tried on {self._folds} folds",
            after=lambda: self._after_search(self.course.pace) if self._number == self._of else None,
            part=name,
            unit="fits",
        )

    def _after_search(self, pace: float | None) -> float | None:
        """Seconds from the end of a search to that of the command, at so many a fit; None where that is not known."""
        rest = self._after_test(pace)
        return None if pace is None or rest is None else self._refit(pace) + rest

    def _refit(self, pace: float) -> float:
        return pace * self._jobs * self._folds / (self._folds - 1)  # on one thread, and on all rows

    def _after_test(self, pace: float | None) -> float | None:
        rest = self._after_run(pace)
        return None if rest is None else PAGES + rest

    def _after_run(self, pace: float | None) -> float | None:
        """As `_after_search`, from the moment when the run is written; of several heads the best is not known yet."""
        if not self._curve:
            return 0.0
        return None if self._of > 1 or pace is None else CURVE * self._folds * pace + PAGES

    def refit(self) -> None:
        """The chosen setting is fitted on all rows."""
        self._pace = self.course.pace
        self.course.begin(
            f"{self._name}: the best setting on all {self._rows:,} training pictures",
            seconds=None if self._pace is None else self._refit(self._pace),
            after=lambda: self._after_test(self._pace) if self._number == self._of else None,
            part=self._name,
        )

    def test(self, division: Division) -> None:
        """The test part is read."""
        self.course.begin(f"{self._name}: testing on {len(division.truth):,} pictures")

    def write(self, curve: bool) -> None:
        """The run is written, before what takes long."""
        self._curve = curve
        self.course.begin("writing the run", seconds=PAGES, after=lambda: self._after_run(self._pace))

    def limits(self, name: str) -> None:
        """How far the head may be trusted is found out."""
        self.course.begin(f"how far {name} may be trusted", after=lambda: self._after_run(self._pace))

    def curve(self, name: str) -> None:
        """The learning curve; each fold of each draw is a step."""
        self.course.begin(f"learning curve of {name}", after=lambda: PAGES)

    def report(self) -> None:
        """Comparison and curve are added to the pages."""
        self.course.begin("writing the report", seconds=PAGES, after=lambda: 0.0)
