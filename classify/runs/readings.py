"""The log of readings of the test part: figures stay those of unseen data only while few choices follow them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from cache.frame import TEXT, TIME, frame
from cache.storage.files import locked, make_folder
from cache.storage.json_file import read_json, write_json
from cache.versions import now
from cache.workspace import Workspace
from classify.data.splits import TEST
from classify.runs.record import record_of

if TYPE_CHECKING:
    import pandas as pd

    from classify.data.division import Division

FORMAT = 2  # since entries are sealed and numbered
DIGITS = 16  # of the hash, in a folder's name
TESTING = ("fit-head", "finetune", "baseline")  # commands whose runs have read a test part
COMMAND = "compare-backbones"  # whose sample may hold pictures of the test part


@dataclass(frozen=True)
class Reading:
    """One head's reading of a test part.

    `test` and `trained_on` are `part_hash`es, `space` an id; `run` names the run's folder, `time` is ISO 8601
    in UTC.
    """

    test: str
    command: str
    head: str
    params: dict[str, Any]
    trained_on: str
    space: str
    run: str = ""
    time: str = ""

    def repeats(self, other: Reading) -> bool:
        """Whether both are the same head: settings, training pictures, labels, space and test part."""
        return self._identity == other._identity

    @property
    def _identity(self) -> str:
        parts = (self.test, self.command, self.head, self.params, self.trained_on, self.space)
        return json.dumps(parts, sort_keys=True, default=repr)


class Log:
    """Readings of one test part: those before this run, and those that it adds one by one.

    Raises
    ------
    UserError
        For an entry that cannot be read, or that a newer coldframe wrote.
    """

    def __init__(self, workspace: Workspace, test: str) -> None:
        self._workspace = workspace
        self._folder = _folder(workspace, test)
        self._before = earlier(workspace, test)
        self._lost = max(0, _known(workspace, test) - len(_entries(self._folder)))
        self._now: list[Reading] = []

    def add(self, reading: Reading) -> None:
        """Record a reading as soon as it has happened; UserError when the workspace cannot be written."""
        self._now.append(record(self._workspace, reading))

    @property
    def notes(self) -> list[str]:
        """What the readings before mean for the present figures; empty when there were none."""
        seen = note(self._before, self._now, self._lost)
        gone = (
            f"{self._lost} entries of the log of test readings are gone from {self._folder}: later entries or runs "
            "know of them, and they are counted as readings by other heads"
        )
        return [*([seen] if seen else []), *([gone] if self._lost else [])]


def record(workspace: Workspace, reading: Reading) -> Reading:
    """Add a reading to the log; the entry gets the present time unless it has one.

    Returns
    -------
    reading : Reading, as it was written.

    Raises
    ------
    UserError
        When the workspace cannot be written.
    """
    entry = asdict(reading) | {"time": reading.time or now()}
    folder = _folder(workspace.create(), reading.test)
    make_folder(folder)
    with locked(folder):  # no two entries have one number, so that one that is gone leaves a gap
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{_last(folder) + 1:06d}-{os.urandom(4).hex()}.json"
        write_json(folder / name, {"format": FORMAT, **entry})
    return Reading(**entry)


def earlier(workspace: Workspace, test: str) -> list[Reading]:
    """List the readings of a test part so far, oldest first.

    Raises
    ------
    UserError
        For an entry that cannot be read, or that a newer coldframe wrote.
    """
    found = []
    for path in _entries(_folder(workspace, test)):
        try:
            entry = read_json(path)
            form = int(entry.pop("format"))
            if form <= FORMAT:
                found.append(Reading(**entry))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"Expected an entry of the log of test readings in {path}, but: {error}. Restore it; or delete it: "
                "that the test part was read is still counted, by which head is lost."
            ) from error
        if form > FORMAT:
            raise UserError(
                f"Expected format {FORMAT} or older in {path}, received {form}. Update coldframe."
            )
    return [reading for reading in found if reading.test == test]


def standing(workspace: Workspace, test: str) -> dict[str, Any]:
    """What run.json says of the log: were its entries lost later, the run would still know how many there were."""
    return {"test_readings": {"test": test, "entries": _last(_folder(workspace, test))}}


def _known(workspace: Workspace, test: str) -> int:
    """How many entries there must be, by their own numbers and by what runs say."""
    entries = [_last(_folder(workspace, test))]
    for run in workspace.runs.glob("[0-9]*-*"):
        said = record_of(run).get("test_readings") if run.name.partition("-")[2] in TESTING else None
        if isinstance(said, dict) and said.get("test") == test and isinstance(said.get("entries"), int):
            entries.append(said["entries"])
    return max(entries)


def _folder(workspace: Workspace, test: str) -> Path:
    return workspace.root / "readings" / test[:DIGITS]


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.json"))


def _last(folder: Path) -> int:
    """The number of the newest entry; those of older versions have none, and are counted."""
    found = _entries(folder)
    numbers = (re.fullmatch(r"\d+T\d+-(\d{6,})-.*", path.name) for path in found)
    return max(len(found), *(int(number[1]) for number in numbers if number), 0)


def to_frame(found: Sequence[Reading]) -> pd.DataFrame:
    """Return readings as a DataFrame, one a row, in the order given.

    Columns: `time` (datetime64[ns, UTC]; NaT for none), `command`, `head`, `run` (object: texts), `params` (object:
    dict of settings), `test`, `trained_on` (object: hashes), `space` (object: id).
    """
    names = ("command", "head", "run", "params", "test", "trained_on", "space")
    return frame({"time": TIME} | dict.fromkeys(names, TEXT), list(map(vars, found)))


def note(before: Sequence[Reading], now: Iterable[Reading], lost: int = 0) -> str | None:
    """Say what earlier readings mean for the present figures; None when there were none.

    Parameters
    ----------
    before : sequence of Reading
        From `earlier`, called before the present readings were recorded.
    now : iterable of Reading
    lost : int
        Readings that are known of but no longer in the log.
    """
    known = {each._identity for each in before}
    present = {each._identity for each in now}
    if not before and not lost:
        return None
    if present <= known and not lost:
        return (
            f"a repetition: the same heads, with the same settings and training pictures, were tested on these "
            f"pictures before ({before[-1].time}); nothing new was learnt from them"
        )
    times = len(known) + lost
    last = f"; the last was {before[-1].head}, {before[-1].time}" if before else ""
    return (
        f"the test pictures are no longer new: {times} head{'s were' if times > 1 else ' was'} tested on them "
        f"before{last}. That does no harm as long as you choose by cv, as fit-head does. Choose by the test figure, "
        "and it will look too good, by up to about half its interval: then confirm it on new pictures (guide: Readings "
        "of the test part)"
    )


def sample_notes(workspace: Workspace, division: Division) -> list[str]:
    """Say how many pictures of a test part were in the sample of a tournament that the space's backbone was in."""
    data, notes = division.data, list[str]()
    keys = {key.tobytes().hex() for key in data.manifest.key[division.split.part == TEST]}
    for run in sorted(workspace.runs.glob(f"*-{COMMAND}")):
        record = record_of(run)
        entries = record.get("result", {}).get("backbones", [])
        took_part = any(
            space.id == one["space"] or space.backbone == one["backbone"]
            for one in entries
            for space in data.spaces
        )
        if took_part and (seen := len(keys.intersection(record["sample"]))):
            asked = record["parameters"]
            notes.append(
                f"{seen:,} of {len(keys):,} pictures of the test part were in the sample by which {run.name} elected a "
                f"backbone: the figures may be a little too good. With --seed {asked['seed']} "
                f"--test-size {asked['test_size']:g}, and no --group-by, none of them is tested"
            )
    return notes
