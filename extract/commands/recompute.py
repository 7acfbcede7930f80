"""Embed some pictures again and compare with the cache: does this machine still compute what is kept?"""

from dataclasses import asdict, dataclass

import numpy as np

from cache.errors import UserError
from cache.workspace import Workspace
from extract.embedding.spaces import backbone_of, decoding_of, view_of
from extract.engines.choice import choose_engine, learn_network, open_engine
from extract.pictures.decoding import RejectedImage, render
from extract.pictures.files import address, opened

TOLERANCE = {
    "float32": 1e-3,
    "float16": 1e-2,
    "int8": 0.1,
}  # relative; other processors and engines round differently, and integers coarsely


@dataclass(frozen=True)
class Recomputed:
    """How far K rows computed again lie from the cached ones: |new - old| / |old|, Euclidean norms."""

    recomputed: int
    skipped: int  # the file is gone or changed
    differing: int  # further off than the tolerance
    largest_difference: float
    tolerance: float

    def to_json(self) -> dict:
        return asdict(self)

    def to_text(self) -> str:
        """One line for people."""
        return (
            f"{self.recomputed} pictures embedded again: {self.differing} differ by more than {self.tolerance:g}, "
            f"the largest relative difference is {self.largest_difference:.1e}; {self.skipped} files were gone "
            "or changed"
        )


def recompute(
    workspace: Workspace, count: int, dataset: str | None = None, space: str | None = None, seed: int = 0
) -> Recomputed:
    """Embed `count` pictures, drawn with `seed`, again and compare them with their cached rows.

    Raises
    ------
    UserError
        If nothing was extracted yet, or the space's weights cannot be had any more.
    """
    data = workspace.load(dataset, space).alone()
    backbone, view = backbone_of(data.store), view_of(data.space)
    decoding = decoding_of(workspace, data.space)
    name = choose_engine("auto", backbone)
    network, engine = learn_network(backbone, name, fall_back=True)
    if network.weights != data.space.weights:
        raise UserError(
            f"Expected the weights {data.space.weights[:12]} of this space, received {network.weights[:12]}: "
            f"the weights of {backbone.name} on this machine are others."
        )
    widths = [part.stop - part.start for part in data.space.parts]
    if network.parts != widths:
        raise UserError(
            f"Expected stages of {widths} numbers in {backbone.name}, as in this space, received {network.parts}: this "
            "version of coldframe or Keras ends them elsewhere. Run extract again."
        )
    engine = engine or open_engine(name, backbone, network)
    drawn = np.random.default_rng(seed).permutation(len(data.manifest))[:count]
    picked = data.manifest.select(drawn)
    pixels, keys = [], []
    for row, (key, size, mtime) in enumerate(zip(picked.key, picked.size, picked.mtime_ns, strict=True)):
        try:
            with opened(address(picked, row)) as contents:
                if (contents.size, contents.mtime_ns) == (size, mtime):
                    pixels.append(render(contents.data, key.tobytes(), backbone.input_size, decoding, view))
                    keys.append(key)
        except RejectedImage:
            continue
    tolerance = max(TOLERANCE[data.space.dtype], TOLERANCE[backbone.precision])
    if not keys:
        return Recomputed(0, len(drawn), 0, 0.0, tolerance)
    steps = range(0, len(pixels), engine.batch_size)
    fresh = np.concatenate([engine.embed(np.stack(pixels[i : i + engine.batch_size])) for i in steps])
    fresh = fresh.reshape(len(keys), -1)
    kept = data.store.gather(np.stack(keys)).reshape(len(keys), -1)
    off = np.linalg.norm(fresh - kept, axis=1) / np.maximum(np.linalg.norm(kept, axis=1), 1e-12)
    return Recomputed(
        len(keys), len(drawn) - len(keys), int((off > tolerance).sum()), float(off.max()), tolerance
    )
