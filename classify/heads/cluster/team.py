"""The driver of fits on Ray: each task of a search is done by a worker, and looks like one that is done here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from queue import SimpleQueue
from typing import Any

from cache.errors import UserError
from cache.text import counted
from cache.versions import versions
from classify.heads.cluster.fits import PACKAGES, Fits
from classify.heads.fitting.tasks import Fitter, Result, Spread, Task, Work, here
from extract.embedding.cluster.connection import LOCAL, connected
from extract.embedding.cluster.failures import cause_of, reason_of
from extract.embedding.cluster.nodes import check_nodes, nodes_of
from extract.embedding.cluster.seats import Seat, seated, seats, told
from extract.settings import Ray

ALL, ONE = 60.0, 120.0  # seconds that all workers have to start, and after that a first one
TRIES = 3  # workers that may be lost over the same fit


@contextmanager
def spreader(cluster: Ray, note: Callable[[str], None]) -> Iterator[Spread]:
    """Say who does the fits of searches: this process, or workers of a cluster, which is asked at once.

    The connection, and a Ray of this machine, last as long as the block. Workers have a core each; the first search
    calls them.

    Parameters
    ----------
    cluster : Ray
        `ray_workers` at most.
    note : callable (line of text)

    Raises
    ------
    UserError
        If there is no cluster, or its nodes lack this package.
    """
    if not cluster.asked:
        yield here
        return
    with connected(cluster.address or LOCAL) as ray:
        nodes = nodes_of(ray)
        check_nodes(ray, nodes)
        team = Team(ray, seats(nodes, threads=1, gpus=0.0)[: cluster.ray_workers], note)
        try:
            yield team.spread
        finally:
            team.dismiss()


@dataclass(eq=False)
class _Member:
    """A worker as the driver knows it, and which search it has learned."""

    seat: Seat
    actor: Any
    work: Any = None


class Team:
    """Workers that fit, a task at a time each; one that is lost gives its place to another.

    Parameters
    ----------
    ray : module
    seats : sequence of Seat
    note : callable (line of text)
    """

    def __init__(self, ray: Any, seats: Sequence[Seat], note: Callable[[str], None]) -> None:
        self._ray, self._seats, self._note = ray, seats, note
        self._members: list[_Member] = []

    def spread(self, fitter: Fitter, works: Sequence[Work]) -> tuple[list[Task], int]:
        """Hand out a search: its tasks, each done where there is room, and how many go on at once."""
        if not self._members:
            self._call()
        work, free = self._ray.put((fitter, works)), SimpleQueue[_Member]()
        for member in self._members:
            free.put(member)
        tasks = self._answer(self._members[0], work, lambda actor: actor.count.remote())
        return [partial(self._steps, free, work, task) for task in range(tasks)], len(self._members)

    def dismiss(self) -> None:
        """End all workers at once, whatever they do."""
        for member in self._members:
            self._ray.kill(member.actor)

    def _steps(self, free: SimpleQueue[_Member], work: Any, task: int) -> Iterator[list[Result]]:
        member = free.get()
        try:
            for number in count():
                found, said = self._answer(member, work, partial(_step, task=task, number=number))
                for warning in said:
                    warnings.warn(warning, stacklevel=1)
                if found is None:
                    return
                yield found
        finally:
            free.put(member)

    def _answer(self, member: _Member, work: Any, ask: Callable[[Any], Any]) -> Any:
        """What a worker answers that has learned a search; if it is lost, what another answers in its place."""
        for _ in range(TRIES):
            try:
                if member.work is not work:
                    self._ray.get(member.actor.learn.remote(work))
                    member.work = work
                return self._ray.get(ask(member.actor))
            except self._ray.exceptions.RayTaskError as error:
                raise cause_of(error) from error
            except self._ray.exceptions.RayError as error:
                why = reason_of(error)
                self._note(f"a worker on {member.seat.node.name} is lost ({why}): another does its fit")
                member.actor, member.work = seated(self._ray, Fits, member.seat), None
                if not self._greeted([member], 1, ALL + ONE):
                    raise self._no_room(1) from error
        raise UserError(
            f"Expected workers that live, received {counted(TRIES, 'death')} over the same fit: {why}. Where memory "
            "is short, lower --jobs, or choose a cheaper head with --model."
        )

    def _call(self) -> None:
        members = [_Member(seat, seated(self._ray, Fits, seat)) for seat in self._seats]
        self._members = members  # to be dismissed, whatever comes
        there = self._greeted(members, len(members), ALL) or self._greeted(members, 1, ONE)
        if not there:
            raise self._no_room(len(members))
        for late in set(members) - set(there):
            self._ray.kill(late.actor)
        self._members = there
        self._note(f"fits on Ray: {told([member.seat for member in there])}")

    def _greeted(self, members: Sequence[_Member], least: int, seconds: float) -> list[_Member]:
        """Those that are there in time, with the libraries that are here."""
        asked = {member.actor.hello.remote(): member for member in members}
        ready, _ = self._ray.wait(list(asked), num_returns=least, timeout=seconds)
        mine = versions(*PACKAGES)
        there = []
        for each in ready:
            try:
                host, found = self._ray.get(each)
            except self._ray.exceptions.RayError:
                continue
            if found != mine:
                raise UserError(
                    f"Expected the libraries of this machine on each node ({_listed(mine)}), received others on {host} "
                    f"({_listed(found)}): results would differ. Install the same versions."
                )
            there.append(asked[each])
        return there

    def _no_room(self, workers: int) -> UserError:
        resources = self._ray.available_resources(), self._ray.cluster_resources()
        free, whole = (each.get("CPU", 0) for each in resources)
        return UserError(
            f"Expected room for {counted(workers, 'worker')}, received none for {ALL + ONE:.0f} s: {free:g} of "
            f"{whole:g} CPU free. Something else holds the cluster. Run the same command again once there is room."
        )


def _step(actor: Any, task: int, number: int) -> Any:
    return actor.step.remote(task, number)


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
