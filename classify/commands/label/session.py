"""Labelling as it goes: what was answered, what the head makes of it, and what is asked next.

The next questions are ready before they are needed: a person waits for the disk alone, and the head learns meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.keys import as_items
from classify.commands.label.estimate import Estimate, estimate
from classify.commands.label.head import learn
from classify.commands.label.labels import CHOSEN, UNDONE, Labels
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
from classify.data.identity import digests

READY = 2  # questions in advance: that which is shown, and the next
GRID = 24  # pictures of one class at a time
LONGEST = 200  # letters of a class


@dataclass(frozen=True)
class Question:
    """A picture that is asked about."""

    place: int
    drawn: str
    guess: str = ""
    probability: float = 0.0


@dataclass(eq=False)
class State:
    """What is known of u pictures; changed under the session's lock only."""

    classes: list[str]
    label: NDArray[np.int32]  # (u,) -1 for none
    closed: NDArray[np.bool_]  # (u,) answered or passed over
    order: list[int] = field(default_factory=list)  # places that have a label, as they came
    drawn: list[int] = field(default_factory=list)  # places that were asked about because they were drawn
    probability: NDArray[np.floating] | None = None  # (u, C of then), of the head
    worth: NDArray[np.floating] | None = None  # (u,) doubt of a head that does not know the drawn ones
    estimate: Estimate = field(default_factory=lambda: Estimate(0, 0))


class Session:
    """One labelling of one pool, for any number of windows.

    Parameters
    ----------
    manifest : Manifest
    group : (n,) int
        Near copies, each of which is labelled with the first.
    pool : Pool
    labels : Labels
        Its answers are replayed.
    classes : sequence of str
        To begin with; others come as they are named.
    clever : bool
        False: all pictures are drawn at random.
    seed : int
        Of the lot.
    """

    def __init__(
        self,
        manifest: Manifest,
        group: NDArray[np.integer],
        pool: Pool,
        labels: Labels,
        classes: Sequence[str] = (),
        *,
        clever: bool = True,
        seed: int = 0,
    ) -> None:
        self.manifest, self.pool, self.labels, self.clever = manifest, pool, labels, clever
        self.keys = [manifest.key[row].tobytes().hex() for row in pool.row]
        self._place = dict(zip([key.tobytes().hex() for key in manifest.key], group.tolist(), strict=True))
        self._rank = digests(as_items(manifest.key[pool.row]), seed)
        u = len(pool)
        self.state = State(list(classes), np.full(u, -1, np.int32), np.zeros(u, bool))
        self._lock, self._learning, self._judging = RLock(), ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._ready: list[Question] = []
        self._given: list[list[tuple[Question, str]]] = []  # what undo takes back, the newest last
        self._replay()
        self._judged: Future[None] = self._judging.submit(self._judge)
        self._seen = len(self.state.order)  # labels when it was judged last
        self._following: Future[None] = self._learning.submit(self._prepare)

    def _replay(self) -> None:
        state = self.state
        for row in np.flatnonzero(self.manifest.label[self.pool.row] >= 0):
            self._set(int(row), self.manifest.classes[self.manifest.label[self.pool.row[row]]])
        by_path = {
            path: key.tobytes().hex() for path, key in zip(self._paths(), self.manifest.key, strict=True)
        }
        for each in self.labels.last().values():
            place = self._place.get(each.key or by_path.get(each.path, ""))
            if place is not None and each.drawn != UNDONE:
                self._set(place, each.label)
                if each.drawn == RANDOM and each.label:
                    state.drawn.append(place)

    def _paths(self) -> list[str]:
        """What the table calls each picture."""
        table, root = self.labels.path.absolute().parent, Path(self.manifest.root)
        paths = [root / path for path in self.manifest.paths]
        return [(p.relative_to(table) if p.is_relative_to(table) else p).as_posix() for p in paths]

    # ---- answers

    def answer(self, key: str, label: str) -> bool:
        """Keep what a person said; an empty label passes the picture over.

        Returns
        -------
        bool
            False where another window has answered it already: nothing is kept.
        """
        label = self._clean(label)
        with self._lock:
            place = self._known(key)
            if self.state.closed[place]:
                return False
            asked = next((each for each in self._ready if each.place == place), Question(place, CHOSEN))
            self._keep([(asked, label)])
        return True

    def accept(self, label: str, keys: Sequence[str]) -> int:
        """Give several pictures one label at once; those that have one by now are left alone. Return how many."""
        label = self._clean(label)
        with self._lock:
            places = [self._known(key) for key in dict.fromkeys(keys)]
            asked = [self._guessed(place, CHOSEN) for place in places if not self.state.closed[place]]
            if asked and label:
                self._keep([(each, label) for each in asked])
            return len(asked)

    def undo(self) -> bool:
        """Take the last answer back, and ask again; False where there is none of this session."""
        with self._lock:
            if not self._given:
                return False
            rows = [self._row(asked, "", UNDONE) for asked, _ in self._given[-1]]
            self.labels.add(rows)
            asked = [each for each, _ in self._given.pop()]
            places = [each.place for each in asked]
            state = self.state
            state.label[places], state.closed[places] = -1, False
            state.order = [place for place in state.order if place not in places]
            state.drawn = [place for place in state.drawn if place not in places]
            self._ready = [*(each for each in asked if each.drawn != CHOSEN), *self._ready]
            self._learn()
        return True

    def _keep(self, given: list[tuple[Question, str]]) -> None:
        self.labels.add([self._row(asked, label, asked.drawn) for asked, label in given])
        self._given.append(given)
        for asked, label in given:
            self._set(asked.place, label)
            if asked.drawn == RANDOM and label:
                self.state.drawn.append(asked.place)
        gone = {asked.place for asked, _ in given}
        self._ready = [each for each in self._ready if each.place not in gone]
        self._learn()

    def _set(self, place: int, label: str) -> None:
        state = self.state
        state.closed[place] = True
        if label and label not in state.classes:
            state.classes.append(label)
        if label:
            if state.label[place] < 0:
                state.order.append(place)
            state.label[place] = state.classes.index(label)

    def _row(self, asked: Question, label: str, drawn: str) -> dict[str, str]:
        path = Path(self.manifest.root) / self.manifest.paths[self.pool.row[asked.place]]
        table = self.labels.path.absolute().parent
        return {
            "path": (path.relative_to(table) if path.is_relative_to(table) else path).as_posix(),
            "label": label,
            "key": self.keys[asked.place],
            "drawn": drawn,
            "guess": asked.guess,
            "probability": f"{asked.probability:.3f}" if asked.guess else "",
        }

    def _known(self, key: str) -> int:
        if key not in self._place:
            raise UserError(
                "Expected the key of a picture of this data set, received another. Load the page anew."
            )
        return self._place[key]

    def _clean(self, label: str) -> str:
        label = " ".join(label.split())
        if len(label) > LONGEST or not label.isprintable():
            raise UserError(
                f"Expected a class of at most {LONGEST} letters, received another. Give it a shorter name."
            )
        return label

    # ---- what the head makes of them

    def _learn(self) -> None:
        self._following = self._learning.submit(self._prepare)

    def _prepare(self) -> None:
        """Learn what was answered, and get questions ready."""
        with self._lock:
            order, label, classes = list(self.state.order), self.state.label.copy(), len(self.state.classes)
            own = np.array(self._own(), np.intp)
        directions, given = self.pool.directions, np.array(order, np.intp)
        head = learn(directions[given], label[given], classes)
        probability = None if head is None else head.probability(directions)
        worth = None
        if not is_early(len(order), len(np.unique(label[given]))):
            asking = learn(directions[own], label[own], classes)
            worth = None if asking is None else doubt(asking.probability(directions))
        with self._lock:
            self.state.probability, self.state.worth = probability, worth
            while len(self._ready) < READY and (asked := self._next()):
                self._ready.append(asked)
        if len(order) // TURN != self._seen // TURN and self._judged.done():
            self._seen, self._judged = len(order), self._judging.submit(self._judge)

    def _next(self) -> Question | None:
        state, busy = self.state, self.state.closed.copy()
        busy[[each.place for each in self._ready]] = True
        if busy.all():
            return None
        turn = len(state.order) + len(self._ready)
        if is_random(turn, self.clever):
            return self._guessed(next_drawn(self._rank, busy), RANDOM)
        told = np.zeros(len(busy), bool)
        told[self._own()] = True
        told[[each.place for each in self._ready if each.drawn != RANDOM]] = True
        worth = np.ones(len(busy)) if state.worth is None else state.worth
        place = most_telling(self.pool, told, busy, worth)
        return self._guessed(place, TYPICAL if state.worth is None else DOUBTFUL)

    def _own(self) -> list[int]:
        """Places with a label that were not drawn."""
        drawn = set(self.state.drawn)
        return [place for place in self.state.order if place not in drawn]

    def _guessed(self, place: int, drawn: str) -> Question:
        found = self.state.probability
        if found is None:
            return Question(place, drawn)
        best = int(found[place].argmax())
        return Question(place, drawn, self.state.classes[best], float(found[place, best]))

    def _judge(self) -> None:
        """Estimate how good the head is, beside the answers."""
        with self._lock:
            state = self.state
            order, label, classes = np.array(state.order, np.intp), state.label.copy(), len(state.classes)
            told = sample(self._rank, label >= 0, np.array(state.drawn, np.intp))
        found = estimate(self.pool, label, order, told, classes)
        with self._lock:
            self.state.estimate = found

    # ---- what is shown

    def question(self) -> Question | None:
        """What is asked now, None where nothing is left; waits for the head if it has to."""
        if not self._ready:
            self._following.result()
        with self._lock:
            return self._ready[0] if self._ready else None

    def shown(self, key: str) -> Question | None:
        """The question about a picture, while it is open."""
        with self._lock:
            return next((each for each in self._ready if self.keys[each.place] == key), None)

    @property
    def can_undo(self) -> bool:
        """Whether there is an answer of this session to take back."""
        return bool(self._given)

    def following(self) -> Question | None:
        """What will be asked next, as far as that is known: its picture may be loaded."""
        with self._lock:
            return self._ready[1] if len(self._ready) > 1 else None

    def suggestions(self, place: int, most: int = 3) -> list[tuple[str, float]]:
        """The classes that the head finds most likely for a picture."""
        with self._lock:
            found, names = self.state.probability, self.state.classes
        if found is None:
            return []
        best = np.argsort(-found[place], kind="stable")[:most]
        return [(names[code], float(found[place, code])) for code in best]

    def grid(self, label: str, most: int = GRID) -> list[int]:
        """Places of the open pictures that the head would give a class, the surest first."""
        with self._lock:
            state = self.state
            if state.probability is None or label not in state.classes[: state.probability.shape[1]]:
                return []
            code = state.classes.index(label)
            open_ = np.flatnonzero(~state.closed & (state.probability.argmax(axis=1) == code))
            return open_[np.argsort(-state.probability[open_, code], kind="stable")][:most].tolist()

    def close(self) -> None:
        """Wait for what was begun, and for the last estimate."""
        self._learning.shutdown()
        self._judging.submit(self._judge)
        self._judging.shutdown()


def counts(state: State) -> dict[str, int]:
    """How many labels each class has."""
    found = np.bincount(state.label[state.label >= 0], minlength=len(state.classes))
    return dict(zip(state.classes, found.tolist(), strict=True))


def to_json(session: Session) -> dict[str, Any]:
    """Where a session stands, as plain values."""
    state = session.state
    return {
        "labels": len(state.order),
        "skipped": int((state.closed & (state.label < 0)).sum()),
        "left": int((~state.closed).sum()),
        "classes": counts(state),
        **state.estimate.to_json(),
    }
