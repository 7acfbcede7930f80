"""head.joblib: written, and loaded only where it can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.errors import UserError
from cache.space import Space

if TYPE_CHECKING:
    from classify.runs.folder import LoadedHead


def check_space(loaded: LoadedHead, space: Space, width: int) -> None:
    """Refuse embeddings of a space in which the head was not trained.

    Raises
    ------
    UserError
        When the width or the space differs from the one in the head's run.json.
    """
    trained = Space.from_json(loaded.record["space"]["json"])
    if width != loaded.head.n_features_in_:
        what = f"embeddings of width {loaded.head.n_features_in_}, received {width}"
    elif space.id != trained.id:
        what = f"embeddings of space {trained.id[:4]}, received space {space.id[:4]} ({space.backbone})"
    else:
        return
    raise UserError(
        f"Expected {what}: this head was trained in space {trained.id[:4]} ({trained.backbone}). "
        f"Run `extract FOLDER/ --backbone {trained.backbone}`, or name a run of that space with --run."
    )
