"""The head of a run: written as a Pipeline and as arrays; loaded as arrays, or as the Pipeline this user trusts."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from cache.space import Space
from cache.storage import trusted
from cache.storage.files import open_regular, write_file
from cache.workspace import Workspace, extract_command
from classify.runs import head_arrays
from classify.runs.folder import write_json
from classify.runs.inputs import Input, inputs_of
from classify.runs.record import FORMAT, record_of

if TYPE_CHECKING:
    from classify.heads.arrays import ArrayHead
    from classify.heads.calibration import CalibratedHead


# A pickle names its classes by their modules. Heads fitted before these moved name the old ones.
MOVED = {
    "classify.batch_norm_mlp": "classify.heads.fitting.batch_norm_mlp",
    "classify.calibration": "classify.heads.calibration",
    "classify.duels": "classify.heads.fitting.estimators",
    "classify.neighbours": "classify.heads.fitting.estimators",
    "classify.scaling": "classify.heads.fitting.scaling",
}


@dataclass(frozen=True)
class LoadedHead:
    """A head from a run folder, with the run.json beside it as `record`."""

    head: CalibratedHead | ArrayHead
    record: dict[str, Any]
    folder: Path

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """What it takes; UserError where its run.json names what there cannot be."""
        return inputs_of(self.record)


def save_head(folder: Path, head: CalibratedHead | ArrayHead, record: dict[str, Any]) -> None:
    """Write head.joblib, head.h5 where arrays can say it, and run.json, which holds `record` and the SHA-256 of both.

    The former is noted as trusted.

    Parameters
    ----------
    folder : Path
        From `workspace.new_run`.
    head : CalibratedHead or ArrayHead
    record : dict
        From `classify.runs.record.record`; "head" describes the head.
    """
    import joblib

    from classify.heads.as_arrays import as_arrays

    buffer = BytesIO()
    joblib.dump(head, buffer)
    data = buffer.getvalue()
    digest = sha256(data).hexdigest()
    write_file(folder / "head.joblib", data)
    written = None if _users_own(record) else as_arrays(head)
    arrays = {"arrays": head_arrays.write(folder, written)} if written else {}
    trusted.remember(digest, _imports(record))
    described = {
        **record["head"],
        "file": "head.joblib",
        "sha256": digest,
        **arrays,
        "width": head.n_features_in_,
        "classes": head.classes_.tolist(),
        "temperature": head.temperature,
    }
    write_json(folder / "run.json", record | {"head": described})  # last: a folder with one is complete


def load_head(
    workspace: Workspace, run: Path, *, trust: bool = False, record: dict[str, Any] | None = None
) -> LoadedHead:
    """Load the head of a run: from head.h5, which anybody may have made, or else from head.joblib.

    Loading a joblib file runs whatever code is in it, so the bytes must have the SHA-256 in run.json, and
    this user must have written or trusted them: see `cache.storage.trusted`.

    Parameters
    ----------
    workspace : Workspace
        Named in the message; what it says of heads counts for nothing.
    run : Path
        A run folder.
    trust : bool
        Load the file wherever it comes from, and from now on without asking. Modules of the user's own that it names
        are looked for in the current folder, too.
    record : dict, optional
        What run.json says, where it was read already.

    Raises
    ------
    UserError
        When the run has no head, or the file is none that this user wrote or trusted and `trust` is False.
    """
    record = record_of(run) if record is None else record
    if record.get("format", FORMAT) > FORMAT:
        raise UserError(
            f"Expected run format {FORMAT} or older in {run}, received {record['format']}. Update coldframe."
        )
    if described := (record.get("head") or {}).get("arrays"):
        with contextlib.suppress(FileNotFoundError):  # head.joblib may still be there
            return LoadedHead(head_arrays.read(run, described["sha256"]), record, run)
    try:
        with open_regular(run / "head.joblib") as file:
            data = file.read()
        expected = dict(record.get("head") or {})["sha256"]
    except (OSError, KeyError, TypeError) as error:
        command = record.get("command")
        received = f"a run of {command}" if command else "a folder without them"
        raise UserError(
            f"Expected run.json and head.joblib of a finished run of fit-head in {run}, received {received}. Run "
            "`fit-head`, or pass --run with another folder."
        ) from error
    digest = sha256(data).hexdigest()
    if digest != expected and not trust:
        raise UserError(
            f"Expected the head that run.json describes ({expected[:12]}) in {run / 'head.joblib'}, received another "
            f"file ({digest[:12]}). Loading a head runs the code in it: pass --trust only if you know where it comes "
            "from."
        )
    if not trusted.admitted(digest, trust, _imports(record)):
        raise trusted.refusal("a head", run / "head.joblib", digest, workspace.root)
    try:
        with _importable(trusted.imports_of(digest), os.getcwd() if trust else ""):
            head = _unpickled(data)
    except (ImportError, AttributeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
        raise UserError(
            f"Expected a head that this installation can load in {run / 'head.joblib'}, but: {error!r}. It "
            f"was written with {record.get('versions')}. Run `fit-head` again, or, if it holds classes of your own, "
            "run this with --trust from the folder with their module."
        ) from error
    return LoadedHead(head, record, run)


def _imports(record: dict[str, Any]) -> str:
    """The folder in which `--model module:factory` looks for the user's own classes; empty for any other head."""
    return os.getcwd() if _users_own(record) else ""


def _users_own(record: dict[str, Any]) -> bool:
    """Whether `--model module:factory` made the head."""
    return ":" in str(record["head"].get("name", ""))


@contextlib.contextmanager
def _importable(*folders: str) -> Iterator[None]:
    """Look for modules that are nowhere else in these folders, too."""
    before = list(sys.path)
    sys.path += filter(None, folders)
    try:
        yield
    finally:
        sys.path[:] = before


def _unpickled(data: bytes) -> CalibratedHead:
    import joblib

    while True:
        try:
            return joblib.load(BytesIO(data))
        except ModuleNotFoundError as error:
            if error.name not in MOVED:
                raise
            sys.modules[error.name] = import_module(MOVED[error.name])


def check_space(loaded: LoadedHead, spaces: Sequence[Space], width: int) -> None:
    """Refuse embeddings of other spaces than those in which the head was trained.

    Parameters
    ----------
    loaded : LoadedHead
    spaces : sequence of Space
        In any order.
    width : int
        How many numbers of theirs go to the head.

    Raises
    ------
    UserError
        When the width or a space differs from the ones in the head's run.json.
    """
    trained = [each.space for each in loaded.inputs]
    if {space.id for space in spaces} != {space.id for space in trained}:
        other = [space for space in spaces if space not in trained] or list(spaces)
        what = f"embeddings of {_named(trained, short=True)}, received {_named(other)}"
    elif width != loaded.head.n_features_in_:
        what = f"embeddings of width {loaded.head.n_features_in_}, received {width}"
    else:
        return
    lacking = [space for space in trained if space not in spaces] or trained
    commands = " and ".join(f"`{extract_command(space)}`" for space in lacking)
    raise UserError(
        f"Expected {what}: this head was trained in {_named(trained)}. Run {commands}, or name a run of "
        f"{'that space' if len(spaces) == 1 else 'those spaces'} with --run."
    )


def _named(spaces: Sequence[Space], short: bool = False) -> str:
    ids = [space.id[:4] if short else f"{space.id[:4]} ({space.backbone})" for space in spaces]
    return f"space{'s' if len(ids) > 1 else ''} {', '.join(ids)}"
