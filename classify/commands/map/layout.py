"""A place in the plane for each picture, alike beside alike: t-SNE, begun from principal components.

Van der Maaten and Hinton, "Visualizing Data using t-SNE", 2008; begun and sped up as Kobak and Berens, "The art of
using t-SNE for single-cell transcriptomics", 2019, and Policar et al., "openTSNE", 2024.

Axes: u distinct pictures; m new ones; D features.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from classify.data.neighbours.cached import NEIGHBOURS
from classify.data.neighbours.search import Neighbours, nearest
from extract.machine import usable_cores

_FEWEST = 4  # pictures; fewer lie as their principal components say
_COMPONENTS = 50  # that scikit-learn's t-SNE is given in place of neighbours
_EARLY, _ITERATIONS = 100, 250  # first with strong attraction, then without; why so few: decision 0034
_ANGLE = 0.8  # how coarsely far pictures are summed up (Barnes-Hut)
_MANY = 10_000  # pictures from which on interpolation is the faster sum
_PLACING, _STEPS = 15, 100  # old neighbours of a new picture, and its iterations
_SEED = 0


def has_extra() -> bool:
    """Whether openTSNE is installed."""
    return find_spec("openTSNE") is not None


def method() -> str:
    """The library that lays out, for people."""
    return "openTSNE" if has_extra() else "scikit-learn's TSNE"


def lay_out(rows: NDArray[np.float32], found: Neighbours) -> NDArray[np.float64]:
    """Lay out (u, D) directions (see `classify.data.neighbours.directions`): (u, 2), the mean at 0.

    openTSNE is given the neighbours of each, scikit-learn's t-SNE principal components.
    """
    if len(rows) < _FEWEST:
        place = _components(rows, 2).astype(np.float64)
    elif has_extra():
        place = _by_neighbours(found, _start(rows))
    else:
        place = _by_components(rows)
    return place - place.mean(axis=0)


def place(
    new: NDArray[np.float32], old: NDArray[np.float32], where: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Find places (m, 2) for new pictures among old ones, whose places `where` stay: openTSNE's, which must be there.

    Each begins at the median of its nearest old ones, and moves as they attract and all old ones repel it; new ones
    do not see each other.

    Parameters
    ----------
    new, old : (m, D), (u, D) float32
        Directions.
    where : (u, 2) float64
    """
    from openTSNE import PartialTSNEEmbedding, TSNEEmbedding, affinity
    from scipy.sparse import csr_matrix

    found = nearest(old, new, _PLACING)
    pull = affinity.joint_probabilities_nn(
        found.index.astype(np.int64),
        _distances(found),
        [found.index.shape[1] / 3],
        symmetrize=False,
        normalization="point-wise",
        n_reference_samples=len(old),
        n_jobs=usable_cores(),
    )
    begin = np.median(where[found.index], axis=1)
    nothing = affinity.PrecomputedAffinities(csr_matrix((len(old), len(old))), normalize=False)
    still = TSNEEmbedding(where, nothing)
    moving = PartialTSNEEmbedding(
        begin, still, pull, negative_gradient_method="bh", n_jobs=_threads(len(old))
    )
    gentle = {"learning_rate": 0.1, "exaggeration": 1.5, "momentum": 0.8, "max_grad_norm": 0.25}
    return np.asarray(moving.optimize(_STEPS, **gentle), np.float64)


def _by_neighbours(found: Neighbours, start: NDArray[np.float64]) -> NDArray[np.float64]:
    from openTSNE import TSNEEmbedding, affinity

    pull = affinity.joint_probabilities_nn(
        found.index.astype(np.int64), _distances(found), [_perplexity(len(start))], n_jobs=usable_cores()
    )
    moving = TSNEEmbedding(
        start,
        affinity.PrecomputedAffinities(pull, normalize=False),
        negative_gradient_method="fft" if len(start) > _MANY else "bh",
        theta=_ANGLE,
        learning_rate="auto",
        n_jobs=usable_cores()
        if len(start) > _MANY
        else 1,  # several threads add up in another order each time
        random_state=_SEED,
    )
    moving = moving.optimize(_EARLY, exaggeration=12, momentum=0.5)
    return np.asarray(moving.optimize(_ITERATIONS, momentum=0.8), np.float64)


def _by_components(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE

    tsne = TSNE(
        perplexity=_perplexity(len(rows)),
        init=_start(rows).astype(np.float32),
        learning_rate="auto",
        max_iter=_EARLY + _ITERATIONS,
        angle=_ANGLE,
        random_state=_SEED,
    )
    return tsne.fit_transform(_components(rows, _COMPONENTS)).astype(np.float64)


def _threads(count: int) -> int:
    """One while that is quick: several add up in another order each time."""
    return usable_cores() if count > _MANY else 1


def _perplexity(count: int) -> float:
    """A third of the neighbours that pull at a picture, as usual."""
    return min(NEIGHBOURS, count - 1) / 3


def _distances(found: Neighbours) -> NDArray[np.float64]:
    """Between directions of length 1."""
    return np.sqrt(np.maximum(2 - 2 * found.similarity.astype(np.float64), 0))


def _start(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Two principal components, so small that nothing repels yet."""
    place = _components(rows, 2).astype(np.float64)
    return place / max(float(place[:, 0].std()), 1e-12) * 1e-4


def _components(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """(u, at most `count`) principal components; columns of zeros where there are fewer than two."""
    from sklearn.utils.extmath import randomized_svd

    centred = rows - rows.mean(axis=0)
    left, strength, _ = randomized_svd(centred, min(count, *rows.shape), n_iter=4, random_state=_SEED)
    found = left * strength
    return np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1]))))
