"""`finetune` as it is asked for: what can be refused at once is refused before Keras is imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.finetune import resume as journal
from classify.commands.finetune.options import FinetuneOptions
from classify.runs.folder import find_run
from classify.training.history import check_installed
from classify.training.settings import Settings
from extract.embedding.progress import Progress, bar
from extract.machine import import_keras_quietly
from extract.settings import Options

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
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Fine-tune, or go on with a fine-tune.

    Parameters
    ----------
    workspace : Workspace
    given : dict
        Fields of `Settings` that differ from its defaults.
    run : str, optional
        Folder of the fit-head run to start from.
    resume : str, optional
        Folder of the run to go on with; "" for the newest unfinished one.
    options, trust, progress, say
        As in `classify.commands.finetune.tuning.finetune`.

    Raises
    ------
    UserError
        As there, and for settings or a run given to a run that has its own.
    """
    settings = Settings(**given)
    if settings.tensorboard:
        check_installed()
    unfinished = None
    named = find_run(workspace, run) if resume is None else None  # refuses a workspace without one
    if resume is not None:
        if given or run:
            others = ", ".join("--" + name.replace("_", "-") for name in [*given, *(["run"] if run else [])])
            raise UserError(
                f"Expected --resume alone, received {others} too: a run goes on with the settings it began with."
            )
        unfinished = journal.unfinished(workspace, resume or None)
    import_keras_quietly()
    from classify.commands.finetune import tuning as heavy

    try:
        return heavy.finetune(
            workspace,
            settings,
            run=named if run else None,
            resume=unfinished,
            options=options,
            trust=trust,
            progress=progress,
            say=say,
        )
    except KeyboardInterrupt:
        say("Activations and finished epochs are kept: `finetune --resume` goes on after the last of them.")
        raise


def run(options: FinetuneOptions, say: Callable[[str], None]) -> Outcome:
    """Answer the command line."""
    settings = {each.name: getattr(options.settings, each.name) for each in fields(Settings)}
    given = {name: value for name, value in settings.items() if value != getattr(Settings, name)}
    resume = options.resume if isinstance(options.resume, str) else "" if options.resume else None
    return finetune(
        Workspace.locate(options.workspace),
        given,
        run=options.run,
        resume=resume,
        options=Options(engine=options.engine, workers=options.workers),
        trust=options.trust,
        progress=bar(say),
        say=say,
    )
