"""What is asked next, and what the head says of it: ready before it is needed.

A person waits for the disk alone; the head learns meanwhile.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from classify.commands.label.estimate import Estimate, estimate
from classify.commands.label.head import learn
from classify.commands.label.order import (
    DOUBTFUL,
    RANDOM,
    TURN,
    TYPICAL,
    doubt,
    is_early,
    is_random,
    most_telling,
    next_drawn,
    sample,
)
from classify.commands.label.pool import Pool

READY = 2  # questions in advance: that which is shown, and the next
GRID = 24  # pictures of one class at a time


@dataclass(frozen=True)
class Question:
    """A picture that is asked about."""

    place: int
    drawn: str
    guess: str = ""
    probability: float = 0.0


@dataclass(eq=False)
class State:
    """What is known of u pictures; changed under its lock only."""

    classes: list[str]
    label: NDArray[np.int32]  # (u,) -1 for none
    closed: NDArray[np.bool_]  # (u,) answered or passed over
    order: list[int] = field(default_factory=list)  # places that have a label, as they came
    drawn: list[int] = field(default_factory=list)  # places that were asked about because they were drawn
    probability: NDArray[np.floating] | None = None  # (u, C of then), of the head
    worth: NDArray[np.floating] | None = None  # (u,) doubt of a head that does not know the drawn ones
    estimate: Estimate = field(default_factory=lambda: Estimate(0, 0))
    lock: RLock = field(default_factory=RLock)

    def give(self, question: Question, label: str) -> None:
        """Keep an answer; an empty label passes the picture over."""
        place = question.place
        self.closed[place] = True
        if not label:
            return
        if label not in self.classes:
            self.classes.append(label)
        if self.label[place] < 0:
            self.order.append(place)
        self.label[place] = self.classes.index(label)
        if question.drawn == RANDOM:
            self.drawn.append(place)

    def take_back(self, places: list[int]) -> None:
        """Forget the answers about some pictures."""
        self.label[places], self.closed[places] = -1, False
        self.order = [place for place in self.order if place not in places]
        self.drawn = [place for place in self.drawn if place not in places]

    @property
    def own(self) -> NDArray[np.intp]:
        """Places with a label that were not drawn."""
        drawn = set(self.drawn)
        return np.array([place for place in self.order if place not in drawn], np.intp)


class Questions:
    """Those that come next, of a head that learns in a thread of its own and is judged in another.

    Parameters
    ----------
    pool : Pool
        u pictures.
    state : State
    rank : (u,) int
        Of each picture in the lot.
    clever : bool
        False: all pictures are drawn at random.
    """

    def __init__(self, pool: Pool, state: State, rank: NDArray[np.integer], clever: bool) -> None:
        self._pool, self._state, self._rank, self._clever = pool, state, rank, clever
        self._learning, self._judging = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._ready: list[Question] = []
        self._judged: Future[None] = self._judging.submit(self._judge)
        self._seen = len(state.order)  # labels when it was judged last
        self._following: Future[None] = self._learning.submit(self._prepare)

    # ---- what is asked

    def now(self) -> Question | None:
        """What is asked now, None where nothing is left; waits for the head if it has to."""
        if not self._ready:
            self._following.result()
        with self._state.lock:
            return self._ready[0] if self._ready else None

    def then(self) -> Question | None:
        """What will be asked next, as far as that is known: its picture may be loaded."""
        with self._state.lock:
            return self._ready[1] if len(self._ready) > 1 else None

    def about(self, place: int) -> Question | None:
        """The question about a picture, while it is open."""
        with self._state.lock:
            return next((each for each in self._ready if each.place == place), None)

    def guessed(self, place: int, drawn: str) -> Question:
        """Ask about a picture, with what the head says of it."""
        found = self._state.probability
        if found is None:
            return Question(place, drawn)
        best = int(found[place].argmax())
        return Question(place, drawn, self._state.classes[best], float(found[place, best]))

    def suggestions(self, place: int, most: int = 3) -> list[tuple[str, float]]:
        """The classes that the head finds most likely for a picture."""
        with self._state.lock:
            found, names = self._state.probability, self._state.classes
        if found is None:
            return []
        best = np.argsort(-found[place], kind="stable")[:most]
        return [(names[code], float(found[place, code])) for code in best]

    def like(self, label: str, most: int = GRID) -> list[int]:
        """Places of the open pictures that the head would give a class, the surest first."""
        with self._state.lock:
            state = self._state
            if state.probability is None or label not in state.classes[: state.probability.shape[1]]:
                return []
            code = state.classes.index(label)
            open_ = np.flatnonzero(~state.closed & (state.probability.argmax(axis=1) == code))
            return open_[np.argsort(-state.probability[open_, code], kind="stable")][:most].tolist()

    # ---- what the head makes of the answers

    def answered(self, places: set[int]) -> None:
        """Ask about other pictures than these from now on; the head learns of them."""
        self._ready = [each for each in self._ready if each.place not in places]
        self._following = self._learning.submit(self._prepare)

    def again(self, asked: list[Question]) -> None:
        """Ask first what was asked before; the head forgets the answers."""
        self._ready = [*asked, *self._ready]
        self._following = self._learning.submit(self._prepare)

    def settle(self) -> None:
        """Wait until the head knows every answer so far."""
        self._following.result()

    def close(self) -> None:
        """Wait for what was begun, and for the last estimate."""
        self._learning.shutdown()
        self._judging.submit(self._judge)
        self._judging.shutdown()

    def _prepare(self) -> None:
        """Learn what was answered, and get questions ready."""
        with self._state.lock:
            state = self._state
            given, own = np.array(state.order, np.intp), state.own
            label, classes = state.label.copy(), len(state.classes)
        directions = self._pool.directions
        head = learn(directions[given], label[given], classes)
        probability = None if head is None else head.probability(directions)
        worth = None
        if not is_early(len(given), len(np.unique(label[given]))):
            asking = learn(directions[own], label[own], classes)
            worth = None if asking is None else doubt(asking.probability(directions))
        with self._state.lock:
            self._state.probability, self._state.worth = probability, worth
            while len(self._ready) < READY and (asked := self._next()):
                self._ready.append(asked)
        if len(given) // TURN != self._seen // TURN and self._judged.done():
            self._seen, self._judged = len(given), self._judging.submit(self._judge)

    def _next(self) -> Question | None:
        state, busy = self._state, self._state.closed.copy()
        busy[[each.place for each in self._ready]] = True
        if busy.all():
            return None
        turn = len(state.order) + len(self._ready)
        if is_random(turn, self._clever):
            return self.guessed(next_drawn(self._rank, busy), RANDOM)
        told = np.zeros(len(busy), bool)
        told[state.own] = True
        told[[each.place for each in self._ready if each.drawn != RANDOM]] = True
        worth = np.ones(len(busy)) if state.worth is None else state.worth
        place = most_telling(self._pool, told, busy, worth)
        return self.guessed(place, TYPICAL if state.worth is None else DOUBTFUL)

    def _judge(self) -> None:
        """Estimate how good the head is, beside the answers."""
        with self._state.lock:
            state = self._state
            order, label, classes = np.array(state.order, np.intp), state.label.copy(), len(state.classes)
            told = sample(self._rank, label >= 0, np.array(state.drawn, np.intp))
        found = estimate(self._pool, label, order, told, classes)
        with self._state.lock:
            self._state.estimate = found
