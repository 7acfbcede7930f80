"""report.html of an audit: the issues as pictures, and a table of all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from classify.commands.audit.kinds.issue import KINDS, NEAREST, Issue
from classify.commands.audit.report.page import ABOUT
from classify.commands.audit.result import Audited
from classify.pages.pictures import Thumbnails
from classify.report.html.environment import render
from classify.report.html.thumbnails import of_rows

CARDS, GALLERY, ROWS = 24, 24, 1_000  # suspicious labels, pictures of another kind, and rows of the table
_SIDE = 96  # pixels of a thumbnail


@dataclass(frozen=True)
class Shown:
    """A picture with its label, and the issue that it has."""

    path: str
    label: str
    issue: Issue | None = None

    @property
    def file(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]


def html(found: Audited) -> str:
    """Return the page; the same for the same audit and pictures."""
    shown = {kind: [_shown(found, each) for each in found.of(kind)[: _most(kind)]] for kind in KINDS}
    near = {each.path: list(_nearest(found, each)) for each in shown["label"]}
    wanted = [each.path for kind in KINDS if kind != "class" for each in shown[kind]]
    wanted += [each.path for each in chain.from_iterable(near.values())]
    row = {path: number for number, path in enumerate(found.data.manifest.paths)}
    uris = of_rows(found.data.manifest, [row[path] for path in dict.fromkeys(wanted)], _SIDE)
    thumbnails = Thumbnails.showing({found.data.manifest.paths[number]: uri for number, uri in uris.items()})
    return render(
        "audit.html.j2",
        found=found,
        kinds=KINDS,
        about={kind: text.replace("`", "") for kind, text in ABOUT.items()},
        shown=shown,
        near=near,
        thumbnails=thumbnails,
        rows=[_shown(found, each) for each in found.issues[:ROWS]],
    )


def _most(kind: str) -> int:
    return {"label": CARDS, "class": ROWS}.get(kind, GALLERY)


def _shown(found: Audited, issue: Issue) -> Shown:
    return Shown(found.place(issue), issue.label, issue)


def _nearest(found: Audited, shown: Shown) -> Iterator[Shown]:
    assert shown.issue is not None
    manifest = found.data.manifest
    for row in found.nearest[shown.issue.row][:NEAREST].tolist():
        if row >= 0:
            code = int(manifest.label[row])
            yield Shown(manifest.paths[row], manifest.classes[code] if code >= 0 else "no label")
