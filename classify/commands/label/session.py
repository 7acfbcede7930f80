"""Labelling as it goes: what a person says is on the disk, then with the head, and can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.keys import as_items
from classify.commands.label.labels import CHOSEN, UNDONE, Labels
from classify.commands.label.pool import Pool
from classify.commands.label.questions import Question, Questions, State
from classify.data.identity import digests

LONGEST = 200  # letters of a class


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
        u = len(pool)
        self.state = State(list(classes), np.full(u, -1, np.int32), np.zeros(u, bool))
        self._given: list[list[Question]] = []  # what undo takes back, the newest last
        self._replay()
        rank = digests(as_items(manifest.key[pool.row]), seed)
        self.questions = Questions(pool, self.state, rank, clever)

    def _replay(self) -> None:
        for row in np.flatnonzero(self.manifest.label[self.pool.row] >= 0).tolist():
            named = self.manifest.classes[self.manifest.label[self.pool.row[row]]]
            self.state.give(Question(row, CHOSEN), named)
        by_path = {
            self._named(path): key.tobytes().hex()
            for path, key in zip(self.manifest.paths, self.manifest.key, strict=True)
        }
        for each in self.labels.last().values():
            place = self._place.get(each.key or by_path.get(each.path, ""))
            if place is not None and each.drawn != UNDONE:
                self.state.give(Question(place, each.drawn), each.label)

    def _named(self, path: str) -> str:
        """What the table calls a picture."""
        whole, table = Path(self.manifest.root) / path, self.labels.path.absolute().parent
        return (whole.relative_to(table) if whole.is_relative_to(table) else whole).as_posix()

    def answer(self, key: str, label: str) -> Question | None:
        """Keep what a person said; an empty label passes the picture over.

        Returns
        -------
        Question or None
            What was asked; None where another window has answered it already: nothing is kept.
        """
        label = self._clean(label)
        with self.state.lock:
            place = self._known(key)
            if self.state.closed[place]:
                return None
            asked = self.questions.about(place) or Question(place, CHOSEN)
            self._keep([asked], label)
        return asked

    def accept(self, label: str, keys: Sequence[str]) -> int:
        """Give several pictures one label at once; those that have one by now are left alone. Return how many."""
        label = self._clean(label)
        with self.state.lock:
            places = [self._known(key) for key in dict.fromkeys(keys)]
            asked = [self.questions.guessed(each, CHOSEN) for each in places if not self.state.closed[each]]
            if asked and label:
                self._keep(asked, label)
            return len(asked)

    def undo(self) -> bool:
        """Take the last answer back, and ask again; False where there is none of this session."""
        with self.state.lock:
            if not self._given:
                return False
            asked = self._given[-1]
            self.labels.add([self._row(each, "", UNDONE) for each in asked])
            self._given.pop()
            self.state.take_back([each.place for each in asked])
            self.questions.again([each for each in asked if each.drawn != CHOSEN])
        return True

    @property
    def can_undo(self) -> bool:
        """Whether there is an answer of this session to take back."""
        return bool(self._given)

    def close(self) -> None:
        """Wait for what was begun, and for the last estimate."""
        self.questions.close()

    def _keep(self, asked: list[Question], label: str) -> None:
        self.labels.add([self._row(each, label, each.drawn) for each in asked])
        self._given.append(asked)
        for each in asked:
            self.state.give(each, label)
        self.questions.answered({each.place for each in asked})

    def _row(self, asked: Question, label: str, drawn: str) -> dict[str, str]:
        return {
            "path": self._named(self.manifest.paths[self.pool.row[asked.place]]),
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


def counts(state: State) -> dict[str, int]:
    """How many labels each class has."""
    found = np.bincount(state.label[state.label >= 0], minlength=len(state.classes))
    return dict(zip(state.classes, found.tolist(), strict=True))


def to_json(session: Session) -> dict[str, Any]:
    """Where a session stands, as plain values."""
    with session.state.lock:
        state = session.state
        return {
            "labels": len(state.order),
            "skipped": int((state.closed & (state.label < 0)).sum()),
            "left": int((~state.closed).sum()),
            "classes": counts(state),
            **state.estimate.to_json(),
        }
