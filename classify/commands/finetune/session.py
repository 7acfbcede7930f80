"""Where a fine-tune works, how its frozen part is run, and what is told of its stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cache.workspace import Workspace
from classify.training.callbacks import Callbacks
from classify.training.skipping import Skipping
from extract.embedding.course import Course
from extract.embedding.progress import Progress, Say
from extract.settings import Options

if TYPE_CHECKING:
    from classify.commands.finetune.start.start import Start
    from classify.runs.head_file import LoadedHead

PAGES = 8.0  # seconds for model.keras, figures and pages; on two cores 5 to 10


@dataclass(frozen=True)
class Session:
    """What all steps of a fine-tune share, whatever it starts from."""

    workspace: Workspace
    options: Options = field(default_factory=Options)  # engine, batch size and readers of the frozen part
    progress: Progress = field(default_factory=Progress)  # of the caching of activations
    say: Say = lambda line: None
    trust: bool = False  # a head or model that this user did not make
    clock: Callable[[], float] = time.monotonic  # seconds
    began: float = field(default_factory=time.monotonic)  # by that clock
    course: Course = field(default_factory=Course)  # told of the stages
    callbacks: Callbacks = field(default_factory=Callbacks)  # the user's own

    @property
    def seconds(self) -> float:
        """How long the command has taken so far."""
        return self.clock() - self.began


@dataclass
class Stages:
    """Tells a course what `finetune` is at."""

    course: Course = field(default_factory=Course)
    clock: Callable[[], float] = time.monotonic
    _checked: tuple[float, float] | None = (
        None  # when the check began, and test pictures for each that it takes
    )
    _test: float = 0.0  # seconds that the test part will take
    _done: int = 0
    _total: int = 0

    def build(self) -> None:
        """The network is built."""
        self.course.begin("building the network")

    def divide(self, loaded: LoadedHead) -> None:
        """The data set is divided, and the head fitted on the parts."""
        self.course.begin(f"dividing the data set of {loaded.folder.name}, and fitting its head on the parts")

    def prepare(self) -> None:
        """The network is cut at the border, and what lies below is run."""
        self.course.begin("preparing the frozen layers")

    def check(self, live: int, tested: int) -> None:
        """The network's answers are compared with the head's: the way that test pictures go, too."""
        self.course.begin(f"checking the hand-off on {live:,} pictures")
        self._checked = self.clock(), tested / live

    def try_step(self) -> None:
        """One step of the optimizer is tried on a few batches."""
        self._check_is_done()
        self.course.begin("trying one step of the optimizer")

    def train(self, start: Start, epochs: int, chosen: int | None) -> None:
        """Every fold and every epoch, but for `epochs` that are done; each picture is a step.

        `chosen` is the epoch up to which all pictures train, once the validating ones have chosen.
        """
        self._check_is_done()
        settings, most = start.settings, start.settings.epochs
        last = Skipping.of(len(start.trained), settings)
        if chosen is not None:
            self._total = last.after(epochs, chosen)
        else:
            parts = [Skipping.of(len(trial.fit), settings) for trial in start.trials]
            again = len(start.trials) > 1 or settings.refit
            self._total = sum(part.after(epochs, most) for part in parts) + again * last.after(0, most)
        self._done = 0
        self.course.begin("training: the first step takes longest", after=self._after, unit="pictures")

    def _check_is_done(self) -> None:
        if self._checked is not None:
            began, share = self._checked
            self._test, self._checked = (self.clock() - began) * share, None

    def _after(self) -> float:
        return self._test + PAGES

    def step(self, pictures: int, words: str) -> None:
        """So many more pictures were trained on."""
        self._done = min(self._done + pictures, self._total)
        self.course.words = words
        self.course.step(self._done, self._total)

    def finish(self) -> None:
        """The model is written, and tested once."""
        self.course.begin("writing the model, testing it", seconds=self._after(), after=lambda: 0.0)
