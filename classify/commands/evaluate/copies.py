"""Which of some pictures a run was trained on: the same bytes, or near copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cache.manifest import Manifest
from cache.workspace import Workspace
from classify.data.neighbours import near_duplicates
from classify.runs.predictions import table_of
from extract.embedding.extractor import Extractor
from extract.embedding.progress import Progress
from extract.embedding.spaces import backbone_of, decoding_of, largest
from extract.embedding.thumbnails import complete, thumbnails_of
from extract.settings import Options


def copies_of_training(
    workspace: Workspace,
    run: Path,
    record: dict[str, Any],
    manifest: Manifest,
    trust: bool,
    progress: Progress,
) -> tuple[np.ndarray, list[str]]:
    """Find pictures of which the run saw a copy when it was trained.

    Near copies are found as by `fit-head`: by the embeddings of the space in which the run's data set was divided.

    Parameters
    ----------
    manifest : Manifest
        n hashed rows, of pictures that can be read.

    Returns
    -------
    copy : (n,) bool
    notes : list of str
        What could not be compared.
    """
    name, space_id = record.get("dataset"), record.get("divided_in") or (record.get("space") or {}).get("id")
    spaces = [store.space.id for store in workspace.spaces()]
    if name not in workspace.datasets() or space_id not in spaces:
        none = np.zeros(len(manifest), bool)
        return none, ["not compared with the training pictures: this workspace does not know them"]
    data = workspace.load(name, space_id)
    tested = table_of(run, record, "predictions.csv")
    held = set() if tested is None else set(tested["path"])
    rows = np.array([path not in held for path in data.manifest.paths]) & (data.manifest.label >= 0)
    trained, store = data.manifest.select(rows), data.store
    if not store.contains(manifest.key).all():
        decoding = decoding_of(workspace, data.space)
        backbone = backbone_of(store, trust=trust)
        extractor = Extractor(workspace, backbone, decoding, Options(dtype=data.space.dtype), progress.note)
        extractor.embed_known(manifest, np.flatnonzero(~store.contains(manifest.key)), progress)
    known = store.contains(manifest.key)
    new = manifest.select(known)
    count, limit = len(trained), largest(workspace, data.space)
    for each in (trained, new):
        complete(workspace, data.space, each, limit, progress)
    found = near_duplicates.groups(
        np.concatenate([trained.key, new.key]),
        np.concatenate([data.embedding[rows], store.gather(new.key)])[:, data.top],
        thumbnails_of(workspace, data.space),
    )
    copy = np.zeros(len(manifest), bool)
    copy[known] = np.isin(found.group[count:], found.group[:count])
    notes = []
    if found.unseen:
        notes.append(
            f"{found.unseen:,} pictures could not be compared, to find near copies: their files are gone or changed"
        )
    return copy, notes
