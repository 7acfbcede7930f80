"""`extract`: a source becomes a manifest and sealed rows; what is there already is kept."""

import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.text import counted
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.backbones.external.kinds import OUTPUT, kind_of
from extract.commands.options import ExtractOptions
from extract.commands.summary import Extracted, Summary, next_step
from extract.embedding.agreement import settled
from extract.embedding.cluster.driver import embedder
from extract.embedding.extractor import EmbedAll, Extractor, embed_all
from extract.embedding.progress import Progress, bar
from extract.embedding.runner import Outcome
from extract.embedding.spaces import tell_of_other_resizer
from extract.embedding.thumbnails import complete
from extract.embedding.views import Augmented, augment, untested
from extract.pictures.policies import Views
from extract.settings import AS_NAMED, BackboneOptions, Columns, Decoding, Options
from extract.sources.changes import compare
from extract.sources.source import PART, is_part, open_source

LOST = "its row is gone"


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
    columns: Columns = AS_NAMED,
) -> Summary:
    """Embed what a source holds with one backbone: `extract_all` with it alone."""
    (done,) = extract_all(
        workspace,
        source,
        [backbone],
        decoding,
        options,
        name=name,
        progress=progress,
        data_dir=data_dir,
        columns=columns,
    )
    return done


def extract_all(
    workspace: Workspace,
    source: Path,
    backbones: Sequence[Backbone],
    decoding: Decoding,
    options: Options,
    *,
    name: str | None = None,
    progress: Progress | None = None,
    data_dir: str | None = None,
    embed: EmbedAll = embed_all,
    columns: Columns = AS_NAMED,
) -> list[Summary]:
    """Embed what a source holds (see `extract.sources.source.open_source`) into the workspace's cache.

    Each file is read, hashed and decoded once for all backbones; each has a space of its own. `embed` does it here, or
    elsewhere.

    Returns
    -------
    list of Summary
        One for each backbone, in their order.

    Raises
    ------
    UserError
        For a source that is not a data set, a backbone whose weights cannot be had or that is named twice, a full
        disk, or a workspace that is deleted or damaged meanwhile. What was sealed before stays.
    """
    progress, began = progress or Progress(), time.monotonic()
    opened = open_source(workspace, source, data_dir=data_dir, columns=columns, note=progress.note)
    dataset = name or opened.name
    found = opened.scan_again(workspace, dataset, progress.note, rehash=options.rehash)
    if found.ignored:
        progress.note(
            f"hidden files and folders, passed over (their names start with a dot): {found.ignored:,}"
        )
    extractors = []
    for backbone in backbones:
        backbone = settled(workspace, backbone, decoding, options, progress.note, found.manifest)
        extractors.append(Extractor(workspace, backbone, decoding, options, progress.note))
    _check_different(extractors)
    for extractor in extractors:
        tell_of_other_resizer(workspace, extractor.store, found.manifest, progress.note)
    manifest, outcomes = _part(found.manifest, options.shard), [Outcome() for _ in extractors]
    todo = np.logical_or.reduce([_todo(each, manifest) for each in extractors])
    embedding_began = time.monotonic()
    try:
        embed(extractors, manifest, np.flatnonzero(todo), progress, outcomes)
    finally:
        _save(workspace, dataset, manifest, options.shard, complete=bool(manifest.hashed.all()))
    embedding_took = time.monotonic() - embedding_began
    present = [manifest.hashed & each.store.contains(manifest.key) for each in extractors]
    spaces = ",".join(each.space.id for each in extractors)
    if options.shard != (1, 1):
        workspace.remember(space=spaces)
    elif manifest.select(np.logical_and.reduce(present)).trainable:  # else no command could go on with it
        workspace.remember(space=spaces, dataset=dataset)
    for extractor, has in zip(extractors, present, strict=True):
        complete(workspace, extractor.space, manifest.select(has), decoding.max_pixels, progress, facts=True)
    unread = found.rejects if options.shard[0] == 1 else []  # of several parts, the first tells of them
    conflicts = [manifest.paths[i] for i in np.flatnonzero(manifest.conflicts()).tolist()]
    changes = None
    if found.before is not None and options.shard == (1, 1):
        changes = compare(found.before, manifest)
    summaries = []
    for extractor, has, outcome in zip(extractors, present, outcomes, strict=True):
        rejects = unread + extractor.rejects(manifest, has, outcome, LOST)
        if lost := sum(reject.reason == LOST for reject in rejects):
            raise UserError(
                f"Expected rows for all pictures that had one or got one in {extractor.store.folder}, {lost:,} of them "
                "are gone: the workspace, or a file in it, was deleted or damaged while this ran. What is there is "
                "kept; run the same command again for the rest."
            )
        summaries.append(
            Summary(
                dataset=dataset,
                space=extractor.space.id,
                backbone=extractor.backbone.name,
                engine=outcome.engine or extractor.engine,
                files=len(manifest) + len(unread),
                embedded=outcome.embedded,
                cached=int(has.sum()) - outcome.embedded,
                rejected=len(rejects),
                seconds=round(time.monotonic() - began, 3),
                images_per_second=round(outcome.embedded / embedding_took, 1) if outcome.embedded else 0.0,
                classes=manifest.select(has).counts(),
                conflicts=conflicts,
                rejects=rejects,
                changes=changes,
            )
        )
    if options.shard != (1, 1):
        progress.note(
            "this was one part: once all parts are done, run the same command without --shard; it joins them and "
            "embeds nothing again"
        )
    return summaries


def several(asked: BackboneOptions) -> list[Backbone]:
    """Look up the backbones that `--backbone` names with commas between them.

    Raises
    ------
    UserError
        As `Backbone.of` does for each; for `auto` beside others, and a weights file for several.
    """
    names = _names(asked.backbone)
    if len(names) > 1 and asked.weights not in ("pretrained", "imagenet", "none"):
        raise UserError(
            f"Expected --weights pretrained or none with several backbones, received {asked.weights!r}. Name the one "
            "backbone that the file belongs to."
        )
    if len(names) > 1 and "auto" in names:
        raise UserError(
            f"Expected --backbone auto alone, received {asked.backbone!r}: it elects one network."
        )
    how = asked.weights, asked.input_size, asked.pooling, asked.precision, asked.preprocessing
    return [Backbone.of(name, *how) for name in names]


def _names(text: str) -> list[str]:
    """Split at commas, but for the path of a model that has one."""
    place = text.partition(":")[2].partition(OUTPUT)[0]
    if kind_of(text) and Path(place).exists():
        return [text]
    return [name.strip() for name in text.split(",")]


def _check_different(extractors: Sequence[Extractor]) -> None:
    """Refuse networks that would write into one space."""
    known: dict[str, str] = {}
    for each in extractors:
        name = each.backbone.location or each.backbone.name
        if each.space.id in known:
            raise UserError(
                f"Expected different networks in --backbone, received {known[each.space.id]} and {name}, which are the "
                "same. Name each once."
            )
        known[each.space.id] = name


def _todo(extractor: Extractor, manifest: Manifest) -> np.ndarray:
    """(n,) bool, the pictures to look at: those with no row in this space, and not known to be refused."""
    if extractor.options.force:
        return np.ones(len(manifest), bool)
    hashed, refused = manifest.hashed, extractor.refused()
    todo = ~(hashed & extractor.store.contains(manifest.key))
    known = [i for i in np.flatnonzero(todo & hashed) if manifest.key[i].tobytes() in refused]
    todo[known] = False
    return todo


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
    embed: EmbedAll = embed_all,
) -> Augmented:
    """Embed the views of what `extract` has just embedded, but of what the data set keeps for testing."""
    if not summary.embedded + summary.cached:
        return Augmented([], 0, 0, 0, 0)
    i, n = options.shard
    name = summary.dataset if n == 1 else f"{summary.dataset}{PART}{i}-of-{n}"
    data = workspace.load(name, summary.space)
    return augment(workspace, data, untested(data), views, options, progress, decoding, embed)


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
    whole = options.options.shard == (1, 1)
    if elect is None:
        backbones = several(options.backbone)
    elif whole:
        backbones = [elect(workspace, options, progress, say)]
    else:
        raise UserError(
            "Expected a backbone's name with --shard, received auto: each machine might elect another. Run "
            "`compare-backbones` once, and name the winner."
        )
    with embedder(options.cluster) as embed:
        done = extract_all(
            workspace,
            Path(options.source),
            backbones,
            *how,
            name=options.name,
            progress=progress,
            data_dir=options.data_dir,
            embed=embed,
            columns=options.columns,
        )
        first = done[0]
        nothing = whole and all(0 < each.files == each.rejected for each in done)
        failure = all_rejected(f" in {first.dataset}", first.rejected) if nothing else None
        viewed = []
        if views.number and not nothing:
            viewed = [extract_views(workspace, each, views, *how, progress, embed) for each in done]
    closing = [] if options.json or not first.embedded + first.cached else next_step(first, options)
    return Extracted(done, workspace.root, views, viewed, failure, closing)
