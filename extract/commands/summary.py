"""What `extract` found and did, for scripts and for people; and the next step."""

import shlex
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from cache.storage.rejects import Reject
from cache.text import counted, on_one_line
from extract.commands.options import ExtractOptions
from extract.embedding.views import Augmented
from extract.pictures.policies import Views
from extract.sources.changes import Changes


@dataclass
class Summary:
    """What an extraction found and did; files = embedded + cached + rejected.

    A data set without pictures of two classes does not become the current one: nothing could be trained on it.
    """

    dataset: str
    space: str
    backbone: str
    engine: str
    files: int = 0
    embedded: int = 0
    cached: int = 0
    rejected: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    classes: dict[str, int] = field(default_factory=dict)  # pictures of each class that have a row
    conflicts: list[str] = field(default_factory=list)  # paths whose bytes carry more than one label
    rejects: list[Reject] = field(default_factory=list)
    changes: Changes | None = None  # since the last time; None if there was none

    def to_json(self) -> dict:
        """The figures for scripts, rejects as path and reason."""
        changes = self.changes.to_json() if self.changes is not None else None
        return asdict(self) | {"rejects": [r.to_json() for r in self.rejects], "changes": changes}


SHOWN = 10  # conflicts and classes listed on the terminal


@dataclass(frozen=True)
class Extracted:
    """What the command line tells: a summary for each network, and the views if there are any."""

    summaries: list[Summary]
    root: Path  # of the workspace
    views: Views
    augmented: list[Augmented]  # one for each network, or none
    failure: str | None
    closing: list[str]  # classes with their pictures, and what to do next

    @property
    def rejects(self) -> list[Reject]:
        """Of the pictures and of their views; what several networks refuse alike is named once."""
        found = chain([done.rejects for done in self.summaries], [views.rejects for views in self.augmented])
        return list({(reject.path, reject.reason): reject for reject in chain.from_iterable(found)}.values())

    @property
    def notes(self) -> list[str]:
        """What changed since the last time, and a warning of pictures in two classes."""
        changes, conflicts = self.summaries[0].changes, self.summaries[0].conflicts
        listed = ", ".join(map(on_one_line, conflicts[:SHOWN]))
        told = f"warning: {len(conflicts):,} files hold a picture that is in two classes: {listed}"
        return ([changes.to_text()] if changes else []) + ([told] if conflicts else [])

    def to_json(self) -> dict[str, Any]:
        """The summary and the views' counts; of several networks the first one's, and all in a list."""
        each = [done.to_json() for done in self.summaries]
        for facts, viewed in zip(each, self.augmented, strict=False):
            facts["views"] = viewed.to_json()
        return each[0] if len(each) == 1 else each[0] | {"networks": [_own(facts) for facts in each]}

    def to_text(self) -> str:
        """The same for people."""
        text = ""
        for number, done in enumerate(self.summaries):
            rate = f", {done.images_per_second:,.1f} images/s" if done.embedded else ""
            name, files = on_one_line(done.dataset), counted(done.files, "file")
            text += (
                f"{name}: {files} = {done.embedded:,} embedded + {done.cached:,} cached "
                f"+ {done.rejected:,} rejected in {done.seconds:.1f} s{rate}\n"
                f"space {done.space[:12]} ({done.backbone} on {done.engine}) in {self.root}\n"
            )
            if self.augmented:
                text += f"{self.views}: {self.augmented[number].to_text()}\n"
        return text.rstrip("\n")


def _own(facts: dict[str, Any]) -> dict[str, Any]:
    """Of a summary what is one network's own, and not the data set's."""
    shared = ("dataset", "files", "conflicts", "changes", "seconds")
    return {name: value for name, value in facts.items() if name not in shared}


def next_step(done: Summary, options: ExtractOptions) -> list[str]:
    """Count the pictures class by class, and name the next command."""
    classes = {name: count for name, count in done.classes.items() if count}
    told = ", ".join(f"{on_one_line(name)} {count:,}" for name, count in list(classes.items())[:SHOWN])
    more = f", and {len(classes) - SHOWN:,} more" if len(classes) > SHOWN else ""
    where = f" --workspace {shlex.quote(options.workspace)}" if options.workspace else ""
    if len(classes) > 1:
        lines = [f"{len(classes):,} classes: {told}{more}"]
        return (
            lines if options.options.shard != (1, 1) else [*lines, f"next: `python cli.py fit-head{where}`"]
        )
    source = shlex.quote(options.source) if Path(options.source).is_dir() else "FOLDER"
    return [
        f"{on_one_line(done.dataset)} does not become the current data set: its pictures "
        f"{f'are of one class, {told}' if classes else 'have no labels'}",
        "next: one folder for each class to train on; or, to have a run name these pictures, "
        f"`python cli.py predict {source}{where}`",
    ]
