"""Grow a set of networks, one by one, by cross-validation on their rows side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cache.errors import UserError
from cache.space import tell_apart
from classify.data.division import choices_of
from classify.heads.search import SearchOptions
from classify.heads.streaming.search import search_rows
from classify.heads.table import PROBE
from classify.metrics.frontier import Frontier, Tried
from extract.embedding.extractor import Extractor
from extract.embedding.spaces import backbone_of, decoding_of
from extract.engines.choice import choose_engine
from extract.engines.timing import cost_of, pixels_of, recall_cost
from extract.settings import Options

if TYPE_CHECKING:
    from cache.dataset import Embedded
    from cache.manifest import Manifest
    from cache.storage.store import Store
    from cache.workspace import Workspace
    from classify.data.division import Division


def frontier(
    division: Division,
    costs: Sequence[float | None],
    how: SearchOptions,
    *,
    parts: str = "auto",
    on_set: Callable[[Sequence[str], int, int], None] = lambda names, number, of: None,
) -> Frontier:
    """Try every network alone, then add to the best set, again and again, the network that helps most.

    Forward selection (Whitney 1971, IEEE Trans. Computers C-20:1100-1103) tries k (k + 1) / 2 of the 2^k - 1 sets of k
    networks. It goes on until all are in, so that the reader sees what the last ones would have added. A set is judged
    by a small search of logistic regression on the training part alone.

    Parameters
    ----------
    division : Division
        Of a data set in k spaces.
    costs : sequence of k float or None
        Milliseconds a picture of each network.
    how : SearchOptions
        Folds, seed and threads.
    parts : {"auto", "top", "all"}
        As for `choices_of`.
    on_set : callable (names, number, of), optional
        Told of each set before it is tried.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C.
    """
    spaces = division.data.spaces
    names = tell_apart(spaces)

    def tried(members: Sequence[int]) -> Tried:
        inside = [spaces[i] for i in members]
        blocks = [block for block in division.data.blocks if block.space in inside]
        found = search_rows(PROBE, replace(division, choices=choices_of(blocks, parts)), how)
        if found.interrupted:
            raise KeyboardInterrupt
        cost = [costs[i] for i in members]
        return Tried(
            networks=tuple(names[i] for i in members),
            spaces=tuple(space.id for space in inside),
            width=found.columns.width,
            parts=found.columns.name,
            hits=int((found.classes[found.scores.argmax(axis=1)] == division.y).sum()),
            n=len(division.y),
            error=found.cv_std / np.sqrt(len(found.folds)),
            milliseconds=None if None in cost else sum(filter(None, cost)),
        )

    results, chosen = list[Tried](), list[int]()
    of = len(spaces) * (len(spaces) + 1) // 2
    while len(chosen) < len(spaces):
        grown = dict[int, Tried]()
        for i in range(len(spaces)):
            if i not in chosen:
                members = sorted([*chosen, i])
                on_set([names[m] for m in members], len(results) + 1, of)
                grown[i] = tried(members)
                results.append(grown[i])
        step = Frontier(list(grown.values())).best
        chosen.append(next(i for i, each in grown.items() if each is step))
    return Frontier(results)


def costs_of(
    workspace: Workspace, data: Embedded, on_network: Callable[[str], None] = lambda name: None
) -> tuple[list[float | None], list[str]]:
    """What each network of a data set costs, in milliseconds a picture, and why one is not known.

    `on_network` is told of each that is measured now.
    """
    costs, notes = list[float | None](), list[str]()
    for store in data.stores:
        try:
            costs.append(cost_in(workspace, store, data.manifest, on_network))
        except UserError as error:
            costs.append(None)
            notes.append(f"the cost of {store.space.backbone} is not known: {error}")
    return costs, notes


def cost_in(
    workspace: Workspace,
    store: Store,
    manifest: Manifest,
    on_network: Callable[[str], None] = lambda name: None,
) -> float:
    """Milliseconds a picture of a space's network on this machine: recalled, else measured and kept.

    No network is looked up where the cost is known.

    Parameters
    ----------
    workspace : Workspace
    store : Store
        Of the space.
    manifest : Manifest
        Of pictures to measure it with.
    on_network : callable (name), optional
        Told before it is measured, which takes seconds.

    Raises
    ------
    UserError
        Where it cannot be measured: the network is gone or another by now, or no picture is there.
    """
    backbone = backbone_of(store)
    known = recall_cost(store, choose_engine("auto", backbone), None)
    if known is not None:
        return known
    extractor = Extractor(
        workspace, backbone, decoding_of(workspace, store.space), Options(dtype=store.space.dtype)
    )
    if extractor.space.id != store.space.id:
        raise UserError(
            f"Expected the weights {store.space.weights[:12]} of {backbone.name}, to measure its cost, received "
            f"{extractor.space.weights[:12]}: it has changed since. Run extract again."
        )

    def pixels() -> np.ndarray:
        on_network(backbone.name)
        return pixels_of(manifest, backbone.input_size, extractor.decoding)

    return cost_of(store, extractor.engine, extractor.start, pixels)
