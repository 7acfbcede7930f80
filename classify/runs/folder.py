"""Run folders: what people look at, and the one trained head that `predict` loads."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.dataset import Embedded
from cache.errors import UserError
from cache.storage.files import write_file
from cache.versions import versions
from cache.workspace import Workspace
from classify.metrics.evaluation import Evaluation
from classify.report.confusion import confusion_png, confusion_text
from classify.report.text import csv_bytes, csv_text

if TYPE_CHECKING:
    from classify.heads.calibration import CalibratedHead

FORMAT = 1
OWN_MODEL = ("finetune", "baseline")  # commands whose runs answer with a model.keras of their own
PACKAGES = ("numpy", "scipy", "scikit-learn", "joblib", "h5py", "keras")


@dataclass(frozen=True)
class LoadedHead:
    """A head from a run folder, with the run.json beside it as `record`."""

    head: CalibratedHead
    record: dict[str, Any]
    folder: Path


def save_head(workspace: Workspace, folder: Path, head: CalibratedHead, record: dict[str, Any]) -> None:
    """Write head.joblib and then run.json, which holds `record` and the head's SHA-256.

    Parameters
    ----------
    workspace : Workspace
        Its ledger notes the file, so that `load_head` knows it.
    folder : Path
        From `workspace.new_run`.
    head : CalibratedHead
    record : dict
        What the run can be repeated from; plain JSON values. "head" describes the head.
    """
    import joblib

    buffer = BytesIO()
    joblib.dump(head, buffer)
    data = buffer.getvalue()
    digest = sha256(data).hexdigest()
    write_file(folder / "head.joblib", data)
    workspace.record_head(digest)
    described = {
        **record["head"],
        "file": "head.joblib",
        "sha256": digest,
        "width": head.n_features_in_,
        "classes": head.classes_.tolist(),
        "temperature": head.temperature,
    }
    # run.json comes last: a folder with one is complete.
    write_json(
        folder / "run.json", {"format": FORMAT, **record, "head": described, "versions": versions(*PACKAGES)}
    )


def load_head(workspace: Workspace, run: Path, *, trust: bool = False) -> LoadedHead:
    """Load the head of a run.

    Loading a joblib file runs whatever code is in it, so the bytes must have the SHA-256 in run.json, and
    this workspace must have written them.

    Parameters
    ----------
    workspace : Workspace
    run : Path
        A run folder.
    trust : bool
        Load the file wherever it comes from.

    Raises
    ------
    UserError
        When the run has no head, or the file is not one this workspace wrote and `trust` is False.
    """
    import joblib

    try:
        record = json.loads((run / "run.json").read_text("utf-8"))
        data = (run / "head.joblib").read_bytes()
        expected = record["head"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        command = record_of(run).get("command")
        received = f"a run of {command}" if command else "a folder without them"
        raise UserError(
            f"Expected run.json and head.joblib of a finished run of fit-head in {run}, received {received}. Run "
            "`fit-head`, or pass --run with another folder."
        ) from error
    if record.get("format", FORMAT) > FORMAT:
        raise UserError(
            f"Expected run format {FORMAT} or older in {run}, received {record['format']}. Update coldframe."
        )
    digest = sha256(data).hexdigest()
    if not trust and (digest != expected or not workspace.wrote_head(digest)):
        expectation = f"the head that run.json describes ({expected[:12]})"
        if digest == expected:
            expectation = f"a head that this workspace ({workspace.root}) wrote"
        raise UserError(
            f"Expected {expectation} in {run / 'head.joblib'}, received another file ({digest[:12]}). "
            "Loading a head runs the code in it: pass --trust only if you know where it comes from."
        )
    sys.path.insert(0, os.getcwd())  # where `--model module:factory` found the user's own classes
    try:
        head = joblib.load(BytesIO(data))
    except (ImportError, AttributeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
        raise UserError(
            f"Expected a head that this installation can load in {run / 'head.joblib'}, but: {error!r}. It "
            f"was written with {record.get('versions')}. Run `fit-head` again, or, if it holds classes of your own, "
            "run this from the folder with their module."
        ) from error
    finally:
        sys.path.remove(os.getcwd())
    return LoadedHead(head, record, run)


def record_of(run: Path) -> dict[str, Any]:
    """Read run.json; empty where the run is not finished, or is no run."""
    try:
        record = json.loads((run / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def relocated(run: str, runs: Path) -> Path:
    """The folder of a run that was written down as a path, also after the workspace was moved with its `runs`."""
    return Path(run) if Path(run).exists() else runs / Path(run).name


def find_run(workspace: Workspace, named: str | None) -> Path:
    """Return the folder of the run named by its path or by its folder's name alone; without a name, of the best.

    Raises
    ------
    UserError
        When there is none.
    """
    if not named:
        return best_run(workspace)
    for path in (Path(named), workspace.runs / named):
        if path.is_dir():
            return path
    names = sorted(path.name for path in workspace.runs.glob("[0-9]*-*"))
    there = f"the last ones are {', '.join(names[-5:])}" if names else "there are none"
    raise UserError(
        f"Expected the folder of a run, received {named!r}, which is not there. Of the runs in "
        f"{workspace.runs} {there}."
    )


def best_run(workspace: Workspace) -> Path:
    """Return the folder of the best run so far, also after the workspace was moved with its runs.

    Raises
    ------
    UserError
        When there is none.
    """
    known = (workspace.state().get("run") or {}).get("path")
    for path in (Path(known), workspace.runs / Path(known).name) if known else ():
        if (path / "run.json").exists():
            return path
    raise UserError(
        f"Expected a trained head, found none in {workspace.root}. Run `fit-head` first, and `extract FOLDER/` before "
        "it where nothing was extracted yet; or point to another workspace with --workspace."
    )


def remember_best(workspace: Workspace, run: Path, data: Embedded, data_sha256: str, accuracy: float) -> None:
    """Make a run the workspace's best, unless one with a higher CV accuracy on the very same data is still there."""
    known = workspace.state().get("run") or {}
    better = known.get("data_sha256") == data_sha256 and known.get("cv_accuracy", 0) > accuracy
    if better and (Path(known["path"]) / "run.json").exists():
        return
    entry = {
        "path": str(run.resolve()),
        "dataset": data.name,
        "data_sha256": data_sha256,
        "space": data.space.id,
        "cv_accuracy": accuracy,
    }
    workspace.remember(run=entry)


def save_evaluation(
    folder: Path,
    evaluation: Evaluation,
    paths: Sequence[str],
    truth: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray,
) -> None:
    """Write predictions.csv (n rows; `probability` (n,) of the predicted class) and the confusion matrix."""
    rows = zip(paths, truth.tolist(), predicted.tolist(), probability.tolist(), strict=True)
    columns = ["path", "label", "predicted", "probability"]
    write_file(folder / "predictions.csv", csv_bytes(csv_text(columns, rows)))
    write_file(folder / "confusion.txt", (confusion_text(evaluation) + "\n").encode())
    write_file(folder / "confusion.png", confusion_png(evaluation))


def write_json(path: Path, content: Any) -> None:
    """Write indented ASCII JSON; a setting that is no JSON value is written as its repr."""
    write_file(path, (json.dumps(content, indent=1, default=repr) + "\n").encode("ascii"))
