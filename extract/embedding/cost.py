"""What a picture costs in a space, where its network is not running."""

from collections.abc import Callable

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.store import Store
from cache.workspace import Workspace
from extract.embedding.extractor import Extractor
from extract.embedding.spaces import backbone_of, decoding_of
from extract.engines.choice import choose_engine
from extract.engines.timing import cost_of, pixels_of, recall_cost
from extract.settings import Options


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
