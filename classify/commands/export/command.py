"""`export`: a run's model for other programs, checked against the run's own answers before it appears."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.storage.files import TEMPORARY, make_folder, sync_folder, write_error, write_file
from cache.text import counted
from cache.workspace import Workspace
from classify.commands.export.options import KINDS, ExportOptions
from classify.commands.export.result import ExportResult, Quantised
from classify.runs.folder import find_run
from classify.runs.predictions import Pictures, held_out, trained_on
from extract.backbones.external.graph import reason_of
from extract.machine import quiet_stderr, usable_cores

if TYPE_CHECKING:
    from classify.commands.export.formats import Answer, Format
    from classify.models.run_model import FittedRun, TunedRun

COMPARED = 100  # pictures on which an export must answer as the run does
JUDGED = 500  # pictures whose labels judge what 8-bit integers cost
TOLERANCE = 1e-3  # of a probability, between two ways to compute the same float32 network
LOOSE = 2e-2  # where embeddings are computed or kept in half precision
DROP = 0.01  # of accuracy, that is worth a warning
TIMED = 20


def export(
    workspace: Workspace,
    run: Path,
    to: str,
    out: Path | None = None,
    *,
    int8: bool = False,
    force: bool = False,
    trust: bool = False,
    sample: int = 200,
    say: Callable[[str], None] = lambda line: None,
) -> ExportResult:
    """Write a run's model for another program.

    What was written is loaded by the program it is for, and must give the run's own answers on pictures of the
    data set, before it appears under its name.

    Parameters
    ----------
    workspace : Workspace
    run : Path
        Folder of a run of fit-head or finetune.
    to : str
        One of `KINDS`.
    out : Path, optional
        File, or folder for "savedmodel"; default: in the run's folder.
    int8 : bool
        Weights and activations as 8-bit integers ("tflite" only).
    force : bool
        Replace what is there.
    trust : bool
        Load a head or model that this user did not make.
    sample : int
        Training pictures that show `int8` the range of each activation.
    say : callable (line of text), optional

    Raises
    ------
    UserError
        When the run cannot be exported so, or the export does not answer as the run does: then nothing is left.
    """
    if to not in KINDS:
        raise UserError(f"Expected --to to be one of {', '.join(KINDS)}; received {to!r}.")
    if int8 and to != "tflite":
        raise UserError(f"Expected --int8 with --to tflite, received --to {to}.")
    from classify.commands.export.formats import FORMATS
    from classify.models.run_model import TunedRun, open_run

    form = FORMATS[to]
    form.check_installed()
    target = _target(run, out, form, int8, force)
    source = open_run(workspace, run, trust, say)
    if isinstance(source, TunedRun) and target.resolve() == source.file.resolve():
        raise UserError(
            f"Expected another place than {target}: this is the run's own model, in this very format."
        )
    if int8 and source.integer:
        raise UserError(
            "Expected a head on float32 rows with --int8, received one on a network of 8-bit integers: leave --int8 "
            "out, and that very network is in the file."
        )
    unseen = held_out(workspace, run, source.record)
    compared, pixels = unseen.sample(COMPARED).decode(source.asked)
    say(f"asking the run for its answers to {counted(len(compared.files), 'picture')} ({compared.part})")
    embedding, expected = source.answers(compared, pixels)
    inputs = list(zip(*([embedding] if to == "saved-head" else pixels), strict=True))
    shown = None
    if int8:
        _, shown = trained_on(workspace, run, source.record).sample(sample).decode(source.asked)
    make_folder(target.parent)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=TEMPORARY) as folder:
            made = Path(folder, target.name)
            say(f"writing {to}")
            answer = _written(form, source, made, shown)
            say(f"comparing it in {form.runtime}")
            received = np.stack([answer(one) for one in inputs])
            difference = float(np.abs(received - expected).max())
            tolerance = None if int8 else TOLERANCE if source.exact else LOOSE
            if tolerance is not None and not difference <= tolerance:
                raise UserError(
                    f"Expected the export to give the run's probabilities to {tolerance:g}, received a difference of "
                    f"{difference:.2g} on {len(inputs)} pictures ({compared.part}): nothing was written. Export it "
                    "as keras, and report this with the versions in run.json."
                )
            quantised = _judge(unseen, source, answer, len(shown[0])) if shown is not None else None
            milliseconds = _milliseconds(answer, inputs[0])
            size = _publish(made, target)
    except OSError as error:
        raise write_error(target, error) from error
    return ExportResult(
        file=target,
        kind=to,
        takes=form.takes(source.squares),
        bytes=size,
        milliseconds=milliseconds,
        measured=f"median of {TIMED} calls with one each, in {form.runtime} on {usable_cores()} cores",
        max_difference=difference,
        tolerance=tolerance,
        n=len(inputs),
        part=compared.part,
        agreement=float((received.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        int8=quantised,
        caveats=_notes(to, source, compared.part, quantised),
    )


def _target(run: Path, out: Path | None, form: Format, int8: bool, force: bool) -> Path:
    name = form.name.replace(".", "-int8.") if int8 else form.name
    target = run / name if out is None else out
    if target.suffix != form.suffix:
        expected = (
            f"a name that ends in {form.suffix}" if form.suffix else "the name of a folder, without a suffix"
        )
        raise UserError(f"Expected --out to be {expected}, received {target.name}.")
    if target.exists() and not force:
        raise UserError(
            f"Expected a new name for the export, received {target}, which is there. Pass --force."
        )
    if target.exists() and target.is_dir() != (not form.suffix):
        raise UserError(
            f"Expected {target} to be a {'file' if form.suffix else 'folder'}. Choose another --out."
        )
    return target


def _written(
    form: Format, source: FittedRun | TunedRun, made: Path, shown: Sequence[np.ndarray] | None
) -> Answer:
    """Write the model, and load it in its own runtime."""
    from classify.models.resizing import square_names

    try:
        with quiet_stderr():
            form.write(source, made, shown)
            return form.open(made, square_names(source.squares))
    except (UserError, OSError):
        raise
    except Exception as error:  # converters pass on whatever the C++ below them throws
        raise UserError(
            f"Expected {form.runtime} to take this model, but it was refused: {reason_of(error)}. Export it as "
            "keras instead."
        ) from error


def _judge(unseen: Pictures, source: FittedRun | TunedRun, answer: Answer, calibrated_on: int) -> Quantised:
    """Count right answers of the run and of its quantised copy, on pictures it was not trained on."""
    judged, pixels = unseen.sample(JUDGED).decode(source.asked)
    _, expected = source.answers(judged, pixels)
    received = np.stack([answer(one) for one in zip(*pixels, strict=True)])
    classes, truth = np.array(source.facts["classes"]), np.array(judged.labels)
    before, after = (float((classes[p.argmax(axis=1)] == truth).mean()) for p in (expected, received))
    return Quantised(before, after, len(truth), judged.part, calibrated_on)


def _milliseconds(answer: Answer, one: Sequence[np.ndarray]) -> float:
    times = []
    for _ in range(TIMED):
        began = time.perf_counter()
        answer(one)
        times.append(time.perf_counter() - began)
    return round(1000 * statistics.median(times), 2)


def _publish(made: Path, target: Path) -> int:
    """Move what was written to its name, in one step; returns its size in bytes."""
    if made.is_file():
        data = made.read_bytes()
        write_file(target, data)
        return len(data)
    size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
    old = made.with_name("replaced")
    if target.exists():
        target.replace(old)
    made.replace(target)
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)
    return size


def _notes(to: str, source: Any, part: str, quantised: Quantised | None) -> list[str]:
    notes = []
    if part == "data set":
        notes.append("the run left no list of pictures it was not trained on: some of these it was")
    if to == "saved-head":
        listed = source.facts.get("inputs")
        owner = f"of {_named(listed)}" if listed else "of the run's own network, and of no other"
        notes.append(f"this head takes embeddings {owner}")
    if quantised and quantised.before - quantised.after > DROP:
        notes.append(
            f"8-bit integers cost {quantised.before - quantised.after:.1%} of accuracy: keep the float export, or "
            "show more pictures"
        )
    return notes


def _named(inputs: Sequence[dict[str, Any]]) -> str:
    """Say which rows a head takes, and which parts of them."""
    parts = [f" ({', '.join(each['parts'])})" if "parts" in each else "" for each in inputs]
    named = [f"space {each['space'][:12]}{part}" for each, part in zip(inputs, parts, strict=True)]
    return ", ".join(named) + (", side by side in this order" if len(named) > 1 else "")


def run(options: ExportOptions, say: Callable[[str], None]) -> ExportResult:
    """Answer the command line."""
    workspace = Workspace.locate(options.workspace)
    return export(
        workspace,
        find_run(workspace, options.run),
        options.to,
        Path(options.out) if options.out else None,
        int8=options.int8,
        force=options.force,
        trust=options.trust,
        say=say,
    )
