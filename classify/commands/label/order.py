"""What to ask next: pictures that stand for many others, and once there is a head, for many that it is in doubt about.

A picture is worth what it tells of others: with labelled pictures L, likeness s and worth w of knowing each,

    gain(x) = sum over i of w(i) * max(0, s(x, i) - max over l in L of s(l, i)),

the gain of facility location, greedily (Wei, Iyer and Bilmes 2015, "Submodularity in data subset selection and active
learning"). With w = 1 typical pictures come first, one of each kind; with w = 1 - margin those among the doubtful. So
typicality (Hacohen, Dekel and Weinshall 2022), margin and diversity are one sum, and nothing is clustered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from classify.commands.label.pool import Pool

TURN = 5  # each fifth picture is drawn at random
FEW = 6  # labels a class, on average, until which pictures are typical ones
TYPICAL, DOUBTFUL, RANDOM = "typical", "doubtful", "random"


def most_telling(
    pool: Pool, told: NDArray[np.bool_], closed: NDArray[np.bool_], worth: NDArray[np.floating]
) -> int:
    """Return the place of the picture with the largest gain.

    Parameters
    ----------
    pool : Pool
        u pictures.
    told : (u,) bool
        Those that tell of others already: L. Not those that were drawn at random: the order must not know of pictures
        by which the head is judged, or it would leave a hole around each.
    closed : (u,) bool
        Those that are not to be asked about; at least one is.
    worth : (u,) float
    """
    known = np.zeros(len(pool))
    np.maximum.at(known, pool.near[told].ravel(), pool.likeness[told].ravel())
    known[told] = 1
    gain = worth * (1 - known)
    gain += (worth[pool.near] * np.maximum(pool.likeness - known[pool.near], 0)).sum(axis=1)
    gain[closed] = -np.inf
    return int(gain.argmax())


def doubt(probability: NDArray[np.floating]) -> NDArray[np.floating]:
    """1 less the margin between the two best of (u, C) probabilities, 0 to 1."""
    two = np.partition(probability, -2, axis=1)[:, -2:]
    return 1 - (two[:, 1] - two[:, 0])


def next_drawn(rank: NDArray[np.integer], closed: NDArray[np.bool_]) -> int:
    """Return the place of the open picture that comes first in the lot, (u,) ranks."""
    places = np.flatnonzero(~closed)
    return int(places[rank[places].argmin()])


def sample(
    rank: NDArray[np.integer], labelled: NDArray[np.bool_], drawn: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The labelled pictures that the lot has come past: a sample of all, in its order.

    Those among them that another turn had asked about before would have been drawn as well.

    Parameters
    ----------
    rank : (u,) int
        Of each picture in the lot.
    labelled : (u,) bool
    drawn : (m,) int
        Places of the pictures that were asked about because they were drawn.
    """
    if not len(drawn):
        return drawn
    places = np.flatnonzero(labelled & (rank <= rank[drawn].max()))
    return places[np.argsort(rank[places])]


def is_random(turn: int, clever: bool) -> bool:
    """Tell whether the picture of this turn, from 0, is drawn at random."""
    return not clever or turn % TURN == TURN - 1


def is_early(labels: int, classes: int) -> bool:
    """Tell whether classes have few labels still."""
    return labels < FEW * max(2, classes)
