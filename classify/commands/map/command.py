"""`map`: the pictures of a data set in two dimensions, alike beside alike, as one page to look at."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from cache.errors import UserError
from cache.storage.files import make_folder, write_file
from cache.storage.keys import as_items, unique
from cache.text import counted
from cache.workspace import Workspace
from classify.commands.map.facts import facts_of
from classify.commands.map.layout import has_extra, lay_out, method, place
from classify.commands.map.options import MapOptions
from classify.commands.map.page import page
from classify.commands.map.positions import Positions, path_of
from classify.commands.map.result import Map
from classify.commands.map.sprites import MOST, Sheet, sheet_of
from classify.commands.map.trust import trustworthiness
from classify.data.identity import digests
from classify.data.neighbours.cached import neighbours_of
from classify.data.neighbours.directions import Directions
from classify.data.sample import stratified
from classify.runs.folder import write_json
from classify.runs.record import of_space, record

FILE = "map.html"


@dataclass(frozen=True, eq=False)
class Distinct:
    """The u pictures of n rows that differ by their bytes, in the order of their keys."""

    keys: NDArray[np.uint8]  # (u, 32)
    first: NDArray[np.intp]  # (u,) row of each that comes first
    inverse: NDArray[np.intp]  # (n,) which of them a row is
    directions: NDArray[np.float32]  # (u, D)


@dataclass(frozen=True, eq=False)
class Laid:
    """Where u distinct pictures lie, (u, 2); how many have come to old ones, None where all were laid out together."""

    where: NDArray[np.float64]
    added: int | None
    notes: list[str]


def draw_map(
    workspace: Workspace,
    *,
    dataset: str | None = None,
    space: str | None = None,
    run: str | None = None,
    most: int = MapOptions.most,
    seed: int = 0,
    fresh: bool = False,
    out: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Map:
    """Lay out the pictures of a data set and write the page.

    The places are kept: pictures that were on the map stay where they are, and new ones come to them (with openTSNE).

    Parameters
    ----------
    workspace : Workspace
    dataset, space : str, optional
        As for `Workspace.load`.
    run : str, optional
        Run whose answers are shown; default: the best on the data set.
    most : int
        Pictures at most; of more a stratified sample.
    seed : int
        Of the sample.
    fresh : bool
        Lay out all pictures anew.
    out : Path, optional
        The HTML file to write; None makes a run folder with the file and a run.json.
    say : callable
        Told what takes long.

    Raises
    ------
    UserError
        When nothing was extracted, for an unknown run, or one that is named and has no scores, and for an `out` that is
        no HTML file.
    """
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"Expected --out to be a file that ends in .html, received {out}. Name it so.")
    whole = workspace.load(dataset, space)
    data = _sampled(whole, most, seed)
    facts = facts_of(workspace, data.name, data.manifest, run)
    items, first, inverse = unique(as_items(data.manifest.key))
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(sheet_of, workspace, data)
        spans = [(block.start, block.stop) for block in data.blocks]
        directions = Directions.around(data.embedding, first, spans).of(data.embedding[first])
        distinct = Distinct(items.view(np.uint8).reshape(len(items), -1), first, inverse, directions)
        laid = _lay(data, distinct, fresh, say)
        trust = trustworthiness(directions, laid.where)
        sheet = reading.result()
    notes = [*_left_out(whole, data), *laid.notes, *facts.notes, *_pictures(sheet, len(data.manifest))]
    made = Map(
        file=out or workspace.new_run("map") / FILE,
        dataset=data.name,
        pictures=len(data.manifest),
        of=len(whole.manifest),
        distinct=len(distinct.keys),
        added=laid.added,
        method=None if laid.added == 0 else method(),
        trust=trust,
        facts=facts,
        notes=notes,
    )
    text = page(made, data.manifest, laid.where[distinct.inverse], sheet)
    make_folder(made.file.absolute().parent)
    write_file(made.file, text.encode("utf-8"))
    made = replace(made, bytes=made.file.stat().st_size)
    if out is None:
        facts_told = {"dataset": data.name, "root": data.manifest.root, "space": of_space(data.space)}
        parameters = {"run": run, "most": most, "seed": seed, "fresh": fresh}
        told = record("map", **facts_told, parameters=parameters, result=made.to_json())
        write_json(made.file.parent / "run.json", told)
    return made


def _sampled(data: Embedded, most: int, seed: int) -> Embedded:
    """At most so many pictures: each class its share, in an order that no other picture influences."""
    manifest = data.manifest
    if len(manifest) <= most:
        return data
    chosen = stratified(manifest.label, digests(as_items(manifest.key), seed), most)
    return replace(data, manifest=manifest.select(np.sort(chosen)))


def _lay(data: Embedded, distinct: Distinct, fresh: bool, say: Callable[[str], None]) -> Laid:
    """Find places for u pictures: those of last time, and for the others new ones."""
    known, notes, path = Positions.none(), list[str](), path_of(data)
    try:
        known = Positions.load(path)
    except ValueError as error:
        notes.append(f"the places of last time are damaged ({error}): all pictures were laid out anew")
    keys, rows = distinct.keys, distinct.directions
    where = known.of(keys)
    new = np.isnan(where[:, 0])
    added = int(new.sum())
    if not added and not fresh:
        return Laid(where, 0, notes)
    few = added <= len(keys) / 2
    if few and has_extra() and not fresh:
        where[new] = place(rows[new], rows[~new], where[~new])
        known.with_more(keys[new], where[new]).save(path)
        return Laid(where, added, notes)
    if added < len(keys) and not fresh:
        why = "pip install 'coldframe[map]', and they stay" if few else "most are new"
        notes.append(
            f"{counted(added, 'picture')} came since: all were laid out anew, and old ones have moved ({why})"
        )
    found = neighbours_of(data, say)
    notes += found.notes
    places = distinct.inverse.astype(np.int32)[found.index[distinct.first]]
    where = lay_out(rows, replace(found, index=places, similarity=found.similarity[distinct.first]))
    Positions(keys, where).save(path)
    return Laid(where, None, notes)


def _left_out(whole: Embedded, data: Embedded) -> list[str]:
    notes = []
    if len(data.manifest) < len(whole.manifest):
        notes.append(
            f"a sample of {len(data.manifest):,} of {len(whole.manifest):,} pictures, each class in proportion: "
            "--most takes more"
        )
    if whole.missing:
        notes.append(f"without {counted(whole.missing, 'picture')} of {whole.name} that have no embedding")
    return notes


def _pictures(sheet: Sheet | None, count: int) -> list[str]:
    """What a person should know of the small pictures."""
    if sheet is None:
        return [
            f"no small pictures: there is room for those of {MOST:,}, and these are {count:,}. --most takes fewer"
        ]
    notes = []
    if sheet.grey:
        notes.append(
            f"{counted(sheet.grey, 'file')} gone or changed since: the small grey picture in the cache is shown"
        )
    if sheet.missing:
        notes.append(
            f"{counted(sheet.missing, 'file')} gone or changed since, of which there is no small picture"
        )
    return notes


def run(options: MapOptions, say: Callable[[str], None]) -> Map:
    """Answer the command line."""
    return draw_map(
        Workspace.locate(options.workspace),
        dataset=options.dataset,
        space=options.space,
        run=options.run,
        most=options.most,
        seed=options.seed,
        fresh=options.fresh,
        out=Path(options.out) if options.out else None,
        say=say,
    )
