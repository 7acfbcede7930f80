"""Labelling replayed on a data set that has its labels: what an order saves, and whether it may be told so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classify.commands.label.estimate import Estimate, estimate
from classify.commands.label.head import Head, learn
from classify.commands.label.order import TURN, doubt, is_early, is_random, most_telling, next_drawn, sample
from classify.commands.label.pool import Pool

TEST = 0.2  # share of the pictures that judge the head and are never asked about
ENOUGH = 0.95  # of what all labels give: the accuracy to reach, if none is named
DRAWS = 2000


@dataclass(frozen=True)
class Stop:
    """Where a replay stood after so many labels."""

    labels: int
    accuracy: float  # on the pictures that are never asked about
    estimate: Estimate | None  # what the page would have shown


@dataclass(frozen=True)
class Saving:
    """Labels needed for an accuracy, in the clever order and at random, a pair for each seed."""

    accuracy: float
    clever: tuple[int, ...]
    random: tuple[int, ...]
    pool: int  # pictures there were to ask about; as many labels stand where the accuracy was not reached

    @property
    def ratio(self) -> float:
        """Median of clever through median of random."""
        return float(np.median(self.clever) / np.median(self.random))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of that, by a bootstrap of the seeds."""
        picked = np.random.default_rng(0).integers(0, len(self.clever), (DRAWS, len(self.clever)))
        clever, random = (np.median(np.array(each)[picked], axis=1) for each in (self.clever, self.random))
        low, high = np.quantile(clever / random, (0.025, 0.975))
        return float(low), float(high)

    @property
    def wins(self) -> bool:
        """Whether the clever order needs fewer labels beyond chance."""
        return self.interval[1] < 1


def replay(
    pool: Pool,
    label: NDArray[np.integer],
    classes: int,
    seed: int,
    *,
    clever: bool,
    until: Callable[[Stop], bool],
    looks: Sequence[int] = (),
) -> list[Stop]:
    """Label as a person would who is always right, and measure after each round of `TURN` labels.

    Parameters
    ----------
    pool : Pool
        u pictures, a fifth of which is kept for measuring.
    label : (u,) int
        True ones.
    classes : int
        Of the codes; none is known before it was given.
    seed : int
        Divides the pictures and draws the random ones.
    clever : bool
        False: all at random.
    until : callable
        Told each stop; ends the replay.
    looks : sequence of int
        Numbers of labels at which the page's estimate is made as well.
    """
    places = np.random.default_rng([seed, 1]).permutation(len(pool))
    count = max(1, round(TEST * len(pool)))
    test, asked = places[:count], pool.part(places[count:])
    truth = label[places[count:]]
    rank = np.random.default_rng([seed, 2]).permutation(len(asked))
    closed, order, drawn, stops = np.zeros(len(asked), bool), list[int](), list[int](), list[Stop]()
    while len(order) < len(asked):
        worth: NDArray[np.floating] = np.ones(len(asked))
        own = np.array([each for each in order if each not in drawn], np.intp)
        if not is_early(len(order), len(np.unique(truth[order]))):
            asking = learn(asked.directions[own], truth[own], classes)
            worth = worth if asking is None else doubt(asking.probability(asked.directions))
        told = np.isin(np.arange(len(asked)), own)
        for turn in range(len(order), min(len(order) + TURN, len(asked))):
            if is_random(turn, clever):
                drawn.append(place := next_drawn(rank, closed))
            else:
                place = most_telling(asked, told, closed, worth)
                told[place] = True
            order.append(place)
            closed[place] = True
        given = np.array(order)
        head = learn(asked.directions[given], truth[given], classes)
        right = _answers(head, pool.directions[test], truth[given[0]]) == label[test]
        shown = None
        if len(order) in looks:
            judges = sample(rank, closed, np.array(drawn, np.intp))
            shown = estimate(asked, np.where(closed, truth, -1), given, judges, classes)
        stops.append(Stop(len(order), float(right.mean()), shown))
        if until(stops[-1]):
            break
    return stops


def _answers(head: Head | None, directions: NDArray[np.float32], only: int) -> NDArray[np.integer]:
    """What a head says of (m, D), or the only class that there is: (m,)."""
    return np.full(len(directions), only) if head is None else head.probability(directions).argmax(axis=1)


def reachable(pool: Pool, label: NDArray[np.integer], classes: int, seed: int) -> float:
    """Accuracy with all labels, times `ENOUGH`, rounded down to a whole per cent."""
    places = np.random.default_rng([seed, 1]).permutation(len(pool))
    count = max(1, round(TEST * len(pool)))
    test, rest = places[:count], places[count:]
    head = learn(pool.directions[rest], label[rest], classes)
    if head is None:
        return 1.0
    whole = (head.probability(pool.directions[test]).argmax(axis=1) == label[test]).mean()
    return float(np.floor(100 * ENOUGH * whole) / 100)


def save(
    pool: Pool,
    label: NDArray[np.integer],
    classes: int,
    accuracy: float,
    seeds: int,
    say: Callable[[str], None] = lambda text: None,
) -> Saving:
    """Count the labels that both orders need for an accuracy, over seeds."""
    needed: dict[bool, list[int]] = {True: [], False: []}
    for seed in range(seeds):
        for clever, found in needed.items():
            stops = replay(
                pool, label, classes, seed, clever=clever, until=lambda stop: stop.accuracy >= accuracy
            )
            found.append(stops[-1].labels)
        say(f"seed {seed}: {needed[True][-1]:,} labels, at random {needed[False][-1]:,}")
    count = len(pool) - max(1, round(TEST * len(pool)))
    return Saving(accuracy, tuple(needed[True]), tuple(needed[False]), count)
