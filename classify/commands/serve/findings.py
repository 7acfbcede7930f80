"""What the last audit found, what a person decides about it, and the table that comes of that."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from cache.errors import UserError
from cache.storage.files import make_folder, write_file
from cache.text import defused, restored
from cache.workspace import Workspace
from classify.runs.record import record_of

ISSUES, MENDED, DECISIONS = "issues.csv", "mended.csv", "decisions.csv"
DECIDED = ("accepted", "dismissed")


@dataclass(frozen=True)
class Finding:
    """A picture that an audit found something about."""

    key: str  # 64 hexadecimal digits
    path: str
    kind: str
    label: str
    suggested: str  # another label; empty where it suggests to leave the picture out
    why: str


def last(workspace: Workspace, dataset: str, file: str) -> Path | None:
    """The newest run on a data set that has a file of this name."""
    runs = sorted(workspace.runs.glob(f"[0-9]*-*/{file}"), key=lambda path: path.parent.name, reverse=True)
    return next((path.parent for path in runs if record_of(path.parent).get("dataset") == dataset), None)


def findings_of(audit: Path | None) -> list[Finding]:
    """Read what an audit found about pictures, in its order; findings about classes are left out."""
    if audit is None:
        return []
    with open(audit / ISSUES, encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = [{name: restored(text or "") for name, text in row.items()} for row in csv.DictReader(file)]
    names = ("key", "path", "kind", "label", "suggested_label", "why")
    return [Finding(*(row.get(name, "") for name in names)) for row in rows if row.get("key")]


def by_key(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """The same, by the key of the picture."""
    found: dict[str, list[Finding]] = {}
    for each in findings:
        found.setdefault(each.key, []).append(each)
    return found


class Decisions:
    """What a person decided about the findings of an audit, in a table that is written anew with each decision.

    Beside it stands `mended.csv`, which `extract` reads: the table of the audit with the labels that were accepted,
    and without the pictures that are to be left out; what is not decided stays as it was labelled.

    Parameters
    ----------
    audit : Path
        Its run folder.
    folder : Path
        Where both tables go, made when there is something to write.
    """

    def __init__(self, audit: Path, folder: Path) -> None:
        self._audit, self._folder, self._lock = audit, folder, Lock()
        self.findings = findings_of(audit)
        self._known = {(each.key, each.kind): each for each in self.findings}
        self.made = self._read()

    def decide(self, key: str, kind: str, decision: str) -> dict[str, int]:
        """Keep a decision, one of `DECIDED` or "" to take it back; returns how many there are of each.

        Raises
        ------
        UserError
            For a finding that is not there, another word, and where the tables cannot be written.
        """
        if (key, kind) not in self._known:
            raise UserError(
                "Expected a finding of the audit that is shown, received another. Load the page again."
            )
        if decision not in (*DECIDED, ""):
            raise UserError(f"Expected {' or '.join(DECIDED)}, received {decision!r}.")
        with self._lock:
            made = {**self.made, (key, kind): decision}
            self._write({each: said for each, said in made.items() if said})
            return self.counts()

    def counts(self) -> dict[str, int]:
        """How many findings were accepted, and how many dismissed."""
        return {name: sum(said == name for said in self.made.values()) for name in DECIDED}

    def _read(self) -> dict[tuple[str, str], str]:
        try:
            text = (self._folder / DECISIONS).read_text("utf-8")
        except FileNotFoundError:
            return {}
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if not {"key", "kind", "decision"} <= {*(rows.fieldnames or ())}:
            raise UserError(
                f"Expected the columns key, kind and decision in {self._folder / DECISIONS}, received others. Put "
                "the file right, or move it away."
            )
        return {(row["key"], row["kind"]): row["decision"] for row in rows if row["decision"] in DECIDED}

    def _write(self, made: dict[tuple[str, str], str]) -> None:
        make_folder(self._folder.absolute())
        mended = self._mended({each for each, said in made.items() if said == "accepted"})
        rows = [("key", "kind", "decision"), *((*each, said) for each, said in made.items())]
        write_file(self._folder / DECISIONS, _csv(rows))
        write_file(self._folder / MENDED, mended)
        self.made = made

    def _mended(self, accepted: set[tuple[str, str]]) -> bytes:
        gone = {key for key, kind in accepted if not self._known_suggestion(key, kind)}
        named = {key: label for key, kind in accepted if (label := self._known_suggestion(key, kind))}
        with open(self._audit / MENDED, encoding="utf-8", errors="surrogateescape", newline="") as file:
            header, *rows = csv.reader(file)
        at = {name: place for place, name in enumerate(header)}
        found = [header]
        for row in rows:
            key, was = row[at["key"]], row[at["label_was"]]
            if key in gone:
                continue
            label = restored(was) or restored(row[at["label"]])  # as it was before the audit
            row[at["label"]] = defused(named.get(key, label))
            row[at["label_was"]] = defused(label) if key in named else ""
            found.append(row)
        return _csv(found)

    def _known_suggestion(self, key: str, kind: str) -> str:
        found = self._known.get((key, kind))
        return found.suggested if found and found.kind == "label" else ""


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode("utf-8", "surrogateescape")
