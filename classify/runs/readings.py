"""The log of readings of the test part: figures stay those of unseen data only while few choices follow them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from cache.frame import TEXT, TIME, frame
from cache.storage.files import make_folder, write_file
from cache.versions import now
from cache.workspace import Workspace
from classify.data.splits import TEST
from classify.runs.record import record_of

if TYPE_CHECKING:
    import pandas as pd

    from classify.data.division import Division

FORMAT = 1
DIGITS = 16  # of the hash, in a folder's name
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
        self._before = earlier(workspace, test)
        self._now: list[Reading] = []

    def add(self, reading: Reading) -> None:
        """Record a reading as soon as it has happened; UserError when the workspace cannot be written."""
        self._now.append(record(self._workspace, reading))

    @property
    def notes(self) -> list[str]:
        """What the readings before mean for the present figures; empty when there were none."""
        seen = note(self._before, self._now)
        return [seen] if seen else []


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
    folder = workspace.create().root / "readings" / reading.test[:DIGITS]
    make_folder(folder)
    text = json.dumps({"format": FORMAT, **entry}, indent=1, sort_keys=True, default=repr)
    write_file(
        folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.urandom(4).hex()}.json", text.encode("ascii")
    )
    return Reading(**entry)


def earlier(workspace: Workspace, test: str) -> list[Reading]:
    """List the readings of a test part so far, oldest first.

    Raises
    ------
    UserError
        For an entry that cannot be read, or that a newer coldframe wrote.
    """
    found = []
    for path in sorted((workspace.root / "readings" / test[:DIGITS]).glob("[0-9]*.json")):
        try:
            entry = json.loads(path.read_bytes())
            form = int(entry.pop("format"))
            if form <= FORMAT:
                found.append(Reading(**entry))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(
                f"Expected an entry of the log of test readings in {path}, but: {error}. Restore it; or delete "
                "it, and the reports no longer count that reading."
            ) from error
        if form > FORMAT:
            raise UserError(
                f"Expected format {FORMAT} or older in {path}, received {form}. Update coldframe."
            )
    return [reading for reading in found if reading.test == test]


def to_frame(found: Sequence[Reading]) -> pd.DataFrame:
    """Return readings as a DataFrame, one a row, in the order given.

    Columns: `time` (datetime64[ns, UTC]; NaT for none), `command`, `head`, `run` (object: texts), `params` (object:
    dict of settings), `test`, `trained_on` (object: hashes), `space` (object: id).
    """
    names = ("command", "head", "run", "params", "test", "trained_on", "space")
    return frame({"time": TIME} | dict.fromkeys(names, TEXT), list(map(vars, found)))


def note(before: Sequence[Reading], now: Iterable[Reading]) -> str | None:
    """Say in one sentence what earlier readings mean for the present figures; None when there were none.

    Parameters
    ----------
    before : sequence of Reading
        From `earlier`, called before the present readings were recorded.
    now : iterable of Reading
    """
    if not before:
        return None
    known = {each._identity for each in before}
    present = {each._identity for each in now}
    if present <= known:
        return (
            "a repetition: this test part was read before by the same heads with the same settings and "
            f"training pictures ({before[-1].time}); nothing new was learnt from it"
        )
    times, last = len(known), before[-1]
    return (
        f"this test part was read {times} time{'s' if times > 1 else ''} before (by different heads or settings, "
        f"last {last.head} on {last.time}): the figures are no longer of unseen data"
    )


def sample_notes(workspace: Workspace, division: Division) -> list[str]:
    """Say how many pictures of a test part were in the sample of a tournament that the space's backbone was in."""
    data, notes = division.data, list[str]()
    keys = {key.tobytes().hex() for key in data.manifest.key[division.split.part == TEST]}
    for run in sorted(workspace.runs.glob(f"*-{COMMAND}")):
        record = record_of(run)
        entries = record.get("result", {}).get("backbones", [])
        took_part = any(
            data.space.id == one["space"] or data.space.backbone == one["backbone"] for one in entries
        )
        if took_part and (seen := len(keys.intersection(record["sample"]))):
            asked = record["parameters"]
            notes.append(
                f"{seen:,} of {len(keys):,} pictures of the test part were in the sample by which {run.name} elected a "
                f"backbone: the figures may be a little too good. With --seed {asked['seed']} "
                f"--test-size {asked['test_size']:g}, and no --group-by, none of them is tested"
            )
    return notes
