"""Evidence about made-up pictures: rows without files or thumbnails."""

from dataclasses import fields

import numpy as np

from cache.dataset import Embedded
from cache.manifest import Manifest
from cache.storage.store import Store
from classify.commands.audit.evidence import Evidence, without_copies
from classify.commands.audit.labelled import Labelled
from classify.data.groups import connect
from classify.data.neighbours.near_duplicates import Groups
from classify.data.neighbours.search import among
from extract.pictures.facts import Facts


def copies(n: int, *pairs: tuple[int, int], likeness: float = 0.95) -> Groups:
    """Near copies: these pairs of n rows."""
    found = np.array(pairs, np.intp).reshape(-1, 2)
    like, bits = np.full(len(found), likeness, np.float32), np.zeros(len(found), np.intp)
    return Groups(connect(n, found.T), found, like, bits, 0, len(found), 0, 0)


def unknown(n: int) -> Facts:
    """Facts of n pictures that nobody looked at."""
    return Facts(*np.full((len(fields(Facts)), n), np.nan, np.float32))


def evidence(
    manifest: Manifest,
    rows: np.ndarray,
    store: Store,
    *pairs: tuple[int, int],
    probability: np.ndarray | None = None,
    facts: Facts | None = None,
) -> Evidence:
    """What is known of pictures with these rows."""
    n = len(manifest)
    store.create().add(manifest.key, rows)
    nothing = np.full((n, len(manifest.classes)), np.nan, np.float32)
    found = copies(n, *pairs)
    return Evidence(
        Embedded("made-up", (store,), manifest, 0),
        found,
        without_copies(among(rows, 50), found.group),
        nothing if probability is None else probability,
        unknown(n) if facts is None else facts,
    )


def labelled(
    rows: np.ndarray,
    label: np.ndarray,
    classes: int,
    group: np.ndarray | None = None,
    voters: np.ndarray | None = None,
) -> Labelled:
    """Pictures with these rows, of one part, and labels; without a group there are no copies."""
    n, width = rows.shape
    alone = np.arange(n) if group is None else group
    nobody = np.full((n, 15), -1) if voters is None else voters
    return Labelled(rows, (width,), label, alone, nobody, classes)
