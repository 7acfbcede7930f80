"""Embeddings of views: each augmentation of a data set's pictures in a space of its own, beside the plain one."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cache.dataset import Embedded
from cache.errors import UserError
from cache.manifest import SPLITS
from cache.space import Space
from cache.storage.rejects import Reject
from cache.storage.store import Store
from cache.workspace import Workspace
from extract.embedding.extractor import EmbedAll, Extractor, embed_all
from extract.embedding.progress import Progress
from extract.embedding.runner import Outcome
from extract.embedding.spaces import PLAIN, backbone_of, decoding_of
from extract.pictures.augmentation import each_view
from extract.pictures.policies import Views
from extract.settings import Decoding, Options


@dataclass(frozen=True)
class Augmented:
    """The views' embeddings: stores by number of the view, and what was done to have them.

    rows = embedded + cached + rejected, over all views.
    """

    stores: list[Store]
    rows: int
    embedded: int
    cached: int
    rejected: int
    rejects: list[Reject] = field(
        default_factory=list
    )  # one a picture, however many of its views are missing

    def to_json(self) -> dict[str, Any]:
        """The counts for scripts, and rejects as path and reason."""
        found: dict[str, Any] = {n: getattr(self, n) for n in ("rows", "embedded", "cached", "rejected")}
        return found | {"rejects": [r.to_json() for r in self.rejects]}

    def to_text(self) -> str:
        """The counts on a line."""
        return f"{self.embedded:,} embedded + {self.cached:,} cached + {self.rejected:,} rejected"

    def gather(self, plain: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Return (V + 1, n, D) float32: `plain` (n, D) and the views of the n pictures with these keys.

        Where a view could not be made, the plain picture stands for it, so that all pictures have as many rows.
        """
        out = np.repeat(plain[None], len(self.stores) + 1, axis=0)
        for view, store in zip(out[1:], self.stores, strict=True):
            present = store.contains(key)
            if present.any():
                view[present] = store.gather(key[present])
        return out


def augment(
    workspace: Workspace,
    data: Embedded,
    rows: np.ndarray,
    views: Views,
    options: Options | None = None,
    progress: Progress | None = None,
    decoding: Decoding | None = None,
    embed: EmbedAll = embed_all,
) -> Augmented:
    """Embed the views that are not in the cache yet.

    Nothing is read, and no network looked up, where all are there. What is sealed stays when Ctrl-C ends it.

    Parameters
    ----------
    workspace : Workspace
    data : Embedded
        In a space of plain pictures.
    rows : (n,) int array
        Rows of its manifest that need views.
    views : Views
    options, progress : Options, Progress, optional
    decoding : Decoding, optional
        Default: that of the space, with the highest limit under which a picture got there.
    embed : EmbedAll
        Who does it.

    Raises
    ------
    UserError
        For a space that is a view itself, weights that have changed since, or a full disk.
    """
    if data.space.view != PLAIN:
        raise UserError(
            f"Expected a space of plain pictures, received {data.space.id[:12]}, which holds the view "
            f"{data.space.view}. Pass --space with the plain one; `cache ls` lists them."
        )
    options, progress = options or Options(), progress or Progress()
    options = replace(options, dtype=data.space.dtype)
    stores, missing, due, rejects = [], 0, 0, dict[str, Reject]()
    for view in each_view(views):
        store = workspace.store(replace(data.space, view=view.name))
        stores.append(store)
        todo = rows if options.force else rows[~store.contains(data.manifest.key[rows])]
        due += len(todo)
        if len(todo):
            decoding = decoding or decoding_of(workspace, data.space)
            extractor = Extractor(workspace, backbone_of(data.store), decoding, options, progress.note, view)
            _check(extractor.space, store.space)
            outcome = Outcome()
            left = extractor.embed_known(data.manifest, todo, progress, outcome, embed)
            lost = data.manifest.select(left)
            missing += len(lost)
            none = np.zeros(len(lost), bool)
            rejects |= {r.path: r for r in extractor.rejects(lost, none, outcome, "the file has changed")}
    total = len(rows) * len(stores)
    return Augmented(stores, total, due - missing, total - due, missing, list(rejects.values()))


def untested(data: Embedded) -> np.ndarray:
    """Rows of a data set that may train: all but those that its own parts keep for testing and validation."""
    kept = np.isin(data.manifest.split, [SPLITS.index("test"), SPLITS.index("val")])
    return np.flatnonzero(~kept)


def _check(found: Space, expected: Space) -> None:
    if found.id != expected.id:
        raise UserError(
            f"Expected the views in the space of the plain embeddings (weights {expected.weights[:12]}), received "
            f"weights {found.weights[:12]}. Run extract again with the weights there are now."
        )
