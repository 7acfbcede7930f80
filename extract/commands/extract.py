"""`extract`: a source becomes a manifest and sealed rows; what is there already is kept."""

import shlex
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.rejects import Reject
from cache.text import counted, on_one_line
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.commands.options import ExtractOptions
from extract.embedding.agreement import settled
from extract.embedding.extractor import Extractor
from extract.embedding.progress import Progress, bar
from extract.embedding.runner import Outcome
from extract.embedding.thumbnails import complete
from extract.embedding.views import Augmented, augment, untested
from extract.pictures.policies import Views
from extract.settings import Decoding, Options
from extract.sources.changes import Changes, compare
from extract.sources.source import PART, is_part, open_source

LOST = "its row is gone"


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


def extract(
    workspace: Workspace,
    source: Path,
    backbone: Backbone,
    decoding: Decoding,
    options: Options,
    *,
    name: str | None = None,
    progress: Progress | None = None,
    data_dir: str | None = None,
) -> Summary:
    """Embed what a source holds (see `extract.sources.source.open_source`) into the workspace's cache.

    Returns
    -------
    Summary

    Raises
    ------
    UserError
        For a source that is not a data set, a backbone whose weights cannot be had, a full disk, or a workspace
        that is deleted or damaged meanwhile. What was sealed before stays.
    """
    progress, began = progress or Progress(), time.monotonic()
    opened = open_source(workspace, source, data_dir=data_dir, note=progress.note)
    dataset = name or opened.name
    found = opened.scan_again(workspace, dataset, progress.note, rehash=options.rehash)
    if found.ignored:
        progress.note(
            f"hidden files and folders, passed over (their names start with a dot): {found.ignored:,}"
        )
    backbone = settled(workspace, backbone, decoding, options, progress.note, found.manifest)
    extractor = Extractor(workspace, backbone, decoding, options, progress.note)
    manifest, outcome = _part(found.manifest, options.shard), Outcome()
    hashed, refused = manifest.hashed, extractor.refused()
    if options.force:
        todo = np.ones(len(manifest), bool)
    else:
        todo = ~(hashed & extractor.store.contains(manifest.key))
        known = [i for i in np.flatnonzero(todo & hashed) if manifest.key[i].tobytes() in refused]
        todo[known] = False
    embedding_began = time.monotonic()
    try:
        extractor.embed(manifest, np.flatnonzero(todo), progress, outcome)
    finally:
        _save(workspace, dataset, manifest, options.shard, complete=bool(manifest.hashed.all()))
    embedding_took = time.monotonic() - embedding_began
    present = manifest.hashed & extractor.store.contains(manifest.key)
    held = manifest.select(present)
    if options.shard != (1, 1):
        workspace.remember(space=extractor.space.id)
    elif held.trainable:  # else no command could go on with it
        workspace.remember(space=extractor.space.id, dataset=dataset)
    complete(workspace, extractor.space, held, decoding.max_pixels, progress)
    unread = found.rejects if options.shard[0] == 1 else []  # of several parts, the first tells of them
    rejects = unread + extractor.rejects(manifest, present, outcome, LOST)
    if lost := sum(reject.reason == LOST for reject in rejects):
        raise UserError(
            f"Expected rows for all pictures that had one or got one in {extractor.store.folder}, {lost:,} of them are "
            "gone: the workspace, or a file in it, was deleted or damaged while this ran. What is there is kept; "
            "run the same command again for the rest."
        )
    conflicts = manifest.conflicts()
    if options.shard != (1, 1):
        progress.note(
            "this was one part: once all parts are done, run the same command without --shard; it joins them and "
            "embeds nothing again"
        )
    return Summary(
        dataset=dataset,
        space=extractor.space.id,
        backbone=backbone.name,
        engine=extractor.engine,
        files=len(manifest) + len(unread),
        embedded=outcome.embedded,
        cached=int(present.sum()) - outcome.embedded,
        rejected=len(rejects),
        seconds=round(time.monotonic() - began, 3),
        images_per_second=round(outcome.embedded / embedding_took, 1) if outcome.embedded else 0.0,
        classes=held.counts(),
        conflicts=[manifest.paths[i] for i in np.flatnonzero(conflicts)],
        rejects=rejects,
        changes=compare(found.before, manifest)
        if found.before is not None and options.shard == (1, 1)
        else None,
    )


def _part(manifest: Manifest, shard: tuple[int, int]) -> Manifest:
    """Select part i of n by the hash of the path, so that every machine cuts alike without talking."""
    i, n = shard
    if n == 1:
        return manifest
    mine = [zlib.crc32(path.encode("utf-8", "surrogateescape")) % n == i - 1 for path in manifest.paths]
    return manifest.select(np.array(mine, bool))


def _save(
    workspace: Workspace, dataset: str, manifest: Manifest, shard: tuple[int, int], complete: bool
) -> None:
    i, n = shard
    if n > 1:
        workspace.save_manifest(f"{dataset}{PART}{i}-of-{n}", manifest)
        return
    workspace.save_manifest(dataset, manifest)
    if complete:
        for name in workspace.datasets():
            if is_part(name, dataset):
                workspace.forget_manifest(name)


def extract_views(
    workspace: Workspace,
    summary: Summary,
    views: Views,
    decoding: Decoding,
    options: Options,
    progress: Progress,
) -> Augmented:
    """Embed the views of what `extract` has just embedded, but of what the data set keeps for testing."""
    if not summary.embedded + summary.cached:
        return Augmented([], 0, 0, 0, 0)
    i, n = options.shard
    name = summary.dataset if n == 1 else f"{summary.dataset}{PART}{i}-of-{n}"
    data = workspace.load(name, summary.space)
    return augment(workspace, data, untested(data), views, options, progress, decoding)


SHOWN = 10  # conflicts and classes listed on the terminal


@dataclass(frozen=True)
class Extracted:
    """What the command line tells: the summary, and the views if there are any."""

    summary: Summary
    root: Path  # of the workspace
    views: Views
    viewed: Augmented | None
    failure: str | None
    closing: list[str]  # classes with their pictures, and what to do next

    @property
    def rejects(self) -> list[Reject]:
        """Of the pictures and of their views."""
        return self.summary.rejects + (self.viewed.rejects if self.viewed else [])

    @property
    def notes(self) -> list[str]:
        """What changed since the last time, and a warning of pictures in two classes."""
        changes, conflicts = self.summary.changes, self.summary.conflicts
        listed = ", ".join(map(on_one_line, conflicts[:SHOWN]))
        told = f"warning: {len(conflicts):,} files hold a picture that is in two classes: {listed}"
        return ([changes.to_text()] if changes else []) + ([told] if conflicts else [])

    def to_json(self) -> dict[str, Any]:
        """The summary, and the views' counts."""
        return self.summary.to_json() | ({"views": self.viewed.to_json()} if self.viewed else {})

    def to_text(self) -> str:
        """The same for people."""
        done = self.summary
        rate = f", {done.images_per_second:,.1f} images/s" if done.embedded else ""
        name, files = on_one_line(done.dataset), counted(done.files, "file")
        text = (
            f"{name}: {files} = {done.embedded:,} embedded + {done.cached:,} cached "
            f"+ {done.rejected:,} rejected in {done.seconds:.1f} s{rate}\n"
            f"space {done.space[:12]} ({done.backbone} on {done.engine}) in {self.root}"
        )
        return f"{text}\n{self.views}: {self.viewed.to_text()}" if self.viewed else text


def _closing(done: Summary, options: ExtractOptions) -> list[str]:
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


def all_rejected(where: str, count: int) -> str:
    """Say that no picture is left."""
    files = counted(count, "file")
    return (
        f"Expected at least one readable picture{where}, received {files}, all rejected (reasons above). The guide "
        "says which formats are read, and what each reason means."
    )


def run(
    options: ExtractOptions, say: Callable[[str], None], elect: Callable[..., Backbone] | None = None
) -> Extracted:
    """Answer the command line; `elect` finds the backbone of `--backbone auto`, of which this package knows nothing."""
    workspace, progress = Workspace.locate(options.workspace), bar(say)
    views, how = Views.of(options.views.number, options.views.augment), (options.decoding, options.options)
    whole, asked = options.options.shard == (1, 1), options.backbone
    if elect is None:
        backbone = Backbone.of(
            asked.backbone,
            asked.weights,
            asked.input_size,
            asked.pooling,
            asked.precision,
            asked.preprocessing,
        )
    elif whole:
        backbone = elect(workspace, options, progress, say)
    else:
        raise UserError(
            "Expected a backbone's name with --shard, received auto: each machine might elect another. Run "
            "`compare-backbones` once, and name the winner."
        )
    done = extract(
        workspace,
        Path(options.source),
        backbone,
        *how,
        name=options.name,
        progress=progress,
        data_dir=options.data_dir,
    )
    nothing = 0 < done.files == done.rejected and whole
    failure = all_rejected(f" in {done.dataset}", done.rejected) if nothing else None
    viewed = None
    if views.number and not nothing:
        viewed = extract_views(workspace, done, views, *how, progress)
    closing = [] if options.json or not done.embedded + done.cached else _closing(done, options)
    return Extracted(done, workspace.root, views, viewed, failure, closing)
