"""The workers of a run: they come, are given blocks, tell news; one that dies gives its place to another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from cache.errors import UserError
from cache.text import counted
from extract.embedding.cluster.failures import cause_of, reason_of
from extract.embedding.cluster.feed import AHEAD
from extract.embedding.cluster.messages import Block, News, Task
from extract.embedding.cluster.seats import Seat, seated
from extract.embedding.cluster.worker import Worker

PATIENCE = 180.0  # seconds without any worker at all
TOLD = 5.0  # seconds between two lines about those that are still to come
TRIES = 3  # workers that may die over the same files, or one after the other before they begin
ENDING = 120.0  # seconds that workers have to seal what they hold
LOWER = (
    "Where memory is short, lower --ray-workers, --workers (threads of each), --batch-size or --max-pixels."
)


@dataclass(eq=False)
class Hand:
    """A worker as the driver knows it."""

    seat: Seat
    actor: Any
    state: Literal["called", "starting", "working", "dead"] = "called"
    room: int = 0
    given: list[np.ndarray] = field(default_factory=list)  # rows that may not be safe


Give = Callable[[Hand], list[Block]]  # at most as many files as the hand has room for; none: none are due now


class Crew:
    """Workers on the seats of a cluster.

    Parameters
    ----------
    ray : module
    seats : sequence of Seat
    tasks : sequence of Task
    note : callable (line of text)
    """

    def __init__(
        self, ray: Any, seats: Sequence[Seat], tasks: Sequence[Task], note: Callable[[str], None]
    ) -> None:
        self._ray, self._tasks, self._note, self._said = ray, list(tasks), note, set[str]()
        self._hands: list[Hand] = []
        self._asked: dict[Any, Hand] = {}  # what they answer, sooner or later
        self._parked: list[Hand] = []  # they have nothing to do
        self._failures = 0
        self._seen = self._told = time.monotonic()
        self.engines: set[tuple[str, ...]] = set()
        for seat in seats:
            self._call(seat)

    def news(self, give: Give) -> Iterator[tuple[Hand, News | None]]:
        """Yield what workers tell within a second, or None for one that died, and give them more."""
        parked, self._parked = self._parked, []
        for hand in parked:
            self._ask(hand, give(hand), idle=True)
        for each in self._answers():
            hand = self._asked.pop(each)
            try:
                answer = self._ray.get(each)
            except self._ray.exceptions.RayTaskError as error:
                raise cause_of(error) from error
            except self._ray.exceptions.RayError as error:
                self._replace(hand, error)
                yield hand, None
                continue
            if hand.state == "called":
                hand.state = "starting"
                self._asked[hand.actor.begin.remote(self._tasks, hand.seat.cpus)] = hand
                continue
            self._say(answer.notes)
            if hand.state == "starting":
                hand.state, hand.room, self._failures = "working", AHEAD * hand.seat.cpus, 0
                self.engines.add(tuple(answer.engines))
                self._ask(hand, give(hand), idle=True)
                continue
            hand.room = answer.room
            yield hand, answer
            self._ask(hand, give(hand), answer.idle)
        self._watch()

    def stop(self) -> Iterator[tuple[Hand, News]]:
        """Have all workers leave what they have not begun and seal what they hold; yield the last that they tell."""
        working = [hand for hand in self._hands if hand.state == "working"]
        last = {each: hand for each, hand in self._asked.items() if hand.state == "working"}
        last |= {hand.actor.turn.remote([], True, True): hand for hand in working}
        ready = self._ray.wait(list(last), num_returns=len(last), timeout=ENDING)[0] if last else []
        for each in ready:
            try:
                yield last[each], self._ray.get(each)
            except self._ray.exceptions.RayError:
                continue  # the next run makes what it had not sealed

    def dismiss(self) -> None:
        """End all of them at once, whatever they do."""
        for hand in self._hands:
            self._ray.kill(hand.actor)

    def _call(self, seat: Seat) -> None:
        hand = Hand(seat, seated(self._ray, Worker, seat))
        self._hands.append(hand)
        self._asked[hand.actor.hello.remote()] = hand

    def _answers(self) -> list[Any]:
        asked = list(self._asked)
        ready, _ = self._ray.wait(asked, timeout=1.0)
        if ready:  # and all others that are there
            ready, _ = self._ray.wait(asked, num_returns=len(asked), timeout=0)
        return ready

    def _ask(self, hand: Hand, blocks: list[Block], idle: bool) -> None:
        if idle and not blocks:
            self._parked.append(hand)
        else:
            over = not blocks and hand.room > 0
            self._asked[hand.actor.turn.remote(blocks, over)] = hand

    def _replace(self, hand: Hand, error: Exception) -> None:
        why, before = reason_of(error), hand.state
        hand.state = "dead"
        self._hands.remove(hand)
        self._note(f"a worker on {hand.seat.node.name} is lost ({why}): another does what it had not sealed")
        self._failures += before != "working"
        if self._failures >= TRIES:
            raise UserError(
                f"Expected workers that start, received {counted(TRIES, 'death')} one after the other: {why}. {LOWER}"
            )
        self._call(hand.seat)

    def _say(self, notes: Sequence[str]) -> None:
        """Pass on what workers say, each line once: they all say the same."""
        for line in notes:
            if line not in self._said:
                self._said.add(line)
                self._note(line)

    def _watch(self) -> None:
        """Never wait in silence: say how many workers find no room, and end it where none does."""
        now, called = time.monotonic(), sum(hand.state == "called" for hand in self._hands)
        if called < len(self._hands):
            self._seen = now
        if not called:
            self._told = now
        elif now - self._told > TOLD:
            self._told = now
            self._note(f"{called} of {counted(len(self._hands), 'worker')} still to start: {self._free()}")
        if now - self._seen > PATIENCE:
            raise UserError(
                f"Expected room for {counted(called, 'worker')}, received none for {PATIENCE:.0f} s: {self._free()}. "
                "Something else holds the cluster, or its nodes are gone; what was sealed is kept. Run the same "
                "command again once there is room, or with lower --ray-workers or --workers."
            )

    def _free(self) -> str:
        free, whole = self._ray.available_resources(), self._ray.cluster_resources()
        kinds = [kind for kind in ("CPU", "GPU") if kind in whole]
        return ", ".join(f"{free.get(kind, 0):g} of {whole[kind]:g} {kind} free" for kind in kinds)
