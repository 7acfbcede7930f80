"""`finetune` as it is asked for: what can be refused at once is refused before Keras is imported."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.finetune.options import FinetuneOptions
from classify.commands.finetune.resume import called_in, settings_of, start_of, unfinished
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.head import head_of
from classify.commands.finetune.start.rows import check_there
from classify.runs.folder import find_run
from classify.training.callbacks import OPTION, Callbacks
from classify.training.history import check_installed
from classify.training.settings import Settings
from extract.embedding.course import Course, shown
from extract.embedding.progress import Progress, Say
from extract.machine import import_keras_quietly
from extract.settings import Options

STOPPING = "Ctrl-C: stopping at the end of the step in progress. Ctrl-C again stops at once."
EARLY = "Stopped before the training began. What was cached is kept: run the same command to go on."

if TYPE_CHECKING:
    from classify.commands.finetune.result import Outcome


def finetune(
    workspace: Workspace,
    given: dict[str, Any],
    *,
    run: str | None = None,
    resume: str | None = None,
    options: Options | None = None,
    trust: bool = False,
    progress: Progress | None = None,
    say: Say = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
    course: Course | None = None,
    callbacks: Sequence[Any] = (),
) -> Outcome:
    """Fine-tune, or go on with a fine-tune.

    Parameters
    ----------
    workspace : Workspace
    given : dict
        Fields of `Settings` that differ from its defaults.
    run : str, optional
        Folder of the fit-head run to start from; default: the best with a linear head, else the best.
    resume : str, optional
        Folder of the run to go on with; "" for the newest unfinished one.
    options : Options, optional
        Engine, batch size and reading threads of the frozen part.
    trust : bool
        Load a head or model that this user did not make.
    progress : Progress, optional
        Told of the caching of activations.
    say : callable (line of text), optional
    clock : callable () -> float
        Seconds, which the time in the report is measured in.
    course : Course, optional
        Told of the stages.
    callbacks : sequence of str or keras.callbacks.Callback
        The user's own, or ``module:factory`` names of them.

    Raises
    ------
    UserError
        As `tuning.tune`, for a missing head, what is no callback, and for settings or a run given to a run that has
        its own.
    """
    began = clock()
    settings = Settings(**given)
    if settings.tensorboard:
        check_installed()
    begun = None
    named = find_run(workspace, run) if resume is None else None  # refuses a workspace without one
    if resume is not None:
        if given or run:
            others = ", ".join("--" + name.replace("_", "-") for name in [*given, *(["run"] if run else [])])
            raise UserError(
                f"Expected --resume alone, received {others} too: a run goes on with the settings it began with."
            )
        begun = unfinished(workspace, resume or None)
        settings, named = settings_of(begun), start_of(begun)
    course = course or Course()
    course.begin("loading the head")
    loaded = head_of(workspace, named if run or begun else None, trust=trust)
    check_there(workspace, loaded, trust=trust)
    course.begin("loading Keras and TensorFlow")
    import_keras_quietly()
    from classify.commands.finetune.tuning import tune

    called = Callbacks.made(callbacks, settings)
    if begun and (missed := [name for name in called_in(begun) if name not in called.names]):
        say(f"{', '.join(missed)} was called before and is not now: {OPTION} names what is to be called")
    try:
        session = Session(
            workspace, options or Options(), progress or Progress(), say, trust, clock, began, course, called
        )
        return tune(session, settings, loaded, begun)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(str(stop) or EARLY) from stop


def run(options: FinetuneOptions, say: Say) -> Outcome:
    """Answer the command line."""
    settings = {each.name: getattr(options.settings, each.name) for each in fields(Settings)}
    given = {name: value for name, value in settings.items() if value != getattr(Settings, name)}
    resume = options.resume if isinstance(options.resume, str) else "" if options.resume else None
    with shown(Course(say), STOPPING) as course:
        return finetune(
            Workspace.locate(options.workspace),
            given,
            run=options.run,
            resume=resume,
            options=Options(engine=options.engine, workers=options.workers),
            trust=options.trust,
            progress=course.progress("running the network over pictures"),
            say=course.say,
            course=course,
            callbacks=[*options.callback, *options.callbacks],
        )
