"""The driver of a run on Ray: rows of a manifest go out to workers, and news of them come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.keys import KEY_BYTES, as_items, unique
from cache.storage.lookup import locate
from cache.storage.remote.mirror import mirror_of
from cache.text import counted, on_one_line
from extract.embedding.cluster.connection import LOCAL, connected, import_ray
from extract.embedding.cluster.crew import LOWER, TRIES, Crew, Hand
from extract.embedding.cluster.messages import Block, News, Task
from extract.embedding.cluster.nodes import check_nodes, nodes_of
from extract.embedding.cluster.seats import seats, told
from extract.embedding.extractor import EmbedAll, Extractor, embed_all
from extract.embedding.progress import Progress
from extract.embedding.runner import CHUNK, Outcome
from extract.pictures.files import address
from extract.settings import Ray

_KEPT = 2**20  # rows of one worker that are remembered before it is asked which of them are sealed


@contextmanager
def embedder(cluster: Ray) -> Iterator[EmbedAll]:
    """Say who embeds: this process, or workers of a cluster, which is asked when there is something to embed.

    The connection, and a Ray of this machine, last as long as the block. UserError if Ray is asked for and not there.
    """
    if not cluster.asked:
        yield embed_all
        return
    ray = import_ray()
    with ExitStack() as stack:

        def embed(
            extractors: Sequence[Extractor],
            manifest: Manifest,
            rows: np.ndarray,
            progress: Progress,
            outcomes: Sequence[Outcome],
        ) -> None:
            if len(rows) and not ray.is_initialized():
                stack.enter_context(connected(cluster.address or LOCAL))
            embed_on_ray(extractors, manifest, rows, progress, outcomes, cluster=cluster)

        yield embed


def embed_on_ray(
    extractors: Sequence[Extractor],
    manifest: Manifest,
    rows: np.ndarray,
    progress: Progress,
    outcomes: Sequence[Outcome],
    *,
    cluster: Ray,
) -> None:
    """Do what `extract.embedding.extractor.embed_all` does by workers of a Ray cluster, which seal shards themselves.

    Whatever ends it - Ctrl-C included - what was embedded by then is sealed first. What a worker that dies had not
    sealed is given to another.

    Raises
    ------
    UserError
        For a cluster that has too little room, or whose nodes lack this package, the workspace or the pictures; and
        for pictures over which one worker after the other dies.
    """
    if not len(rows):
        progress.start(0)
        return
    options, mirror = extractors[0].options, mirror_of(extractors[0].workspace.root / "spaces")
    with connected(cluster.address or LOCAL) as ray:
        nodes = nodes_of(ray)
        found = seats(nodes, options.workers, cluster.ray_workers, cluster.ray_gpus)
        shared = None if mirror else extractors[0].workspace.root
        check_nodes(ray, nodes, shared, address(manifest, int(rows[0])))
        progress.note(f"on Ray: {told(found)}")
        work = Work(extractors, manifest, rows, progress, outcomes)
        place = mirror.address if mirror else str(extractors[0].workspace.root)
        crew = Crew(ray, found, [_task(each, place) for each in extractors], progress.note)
        try:
            while work.open:
                for hand, news in crew.news(work.give):
                    work.hear(hand, news)
        finally:
            try:
                for hand, news in crew.stop():
                    work.hear(hand, news)
            finally:
                crew.dismiss()
                if mirror:
                    mirror.pull()  # what others have sealed
                work.count()
                for number, outcome in enumerate(outcomes):
                    outcome.engine = "+".join(sorted({each[number] for each in crew.engines}))


def _task(extractor: Extractor, workspace: str) -> Task:
    options, view = extractor.options, extractor.view
    return Task(workspace, extractor.backbone, extractor.decoding, options, view, extractor.space.id)


class Work:
    """Which rows are due, who has them, and which are safe.

    Parameters
    ----------
    extractors : sequence of Extractor
    manifest : Manifest
        Its keys and stat columns are completed in place.
    rows : (n,) int array
    progress : Progress
    outcomes : sequence of Outcome
    """

    def __init__(
        self,
        extractors: Sequence[Extractor],
        manifest: Manifest,
        rows: np.ndarray,
        progress: Progress,
        outcomes: Sequence[Outcome],
    ) -> None:
        self._manifest, self._rows, self._progress, self._outcomes = manifest, rows, progress, outcomes
        self._stores, self._force = [each.store for each in extractors], extractors[0].options.force
        self._before = [[] if self._force else list(store.verified()) for store in self._stores]
        self._due, self._holders = deque([rows]), set[Hand]()
        self._started = False  # the time that the workers need for that is none of the pictures'
        self._read = np.zeros(len(manifest), bool)
        self._rejected = np.zeros((len(extractors), len(manifest)), bool)
        self._deaths = np.zeros(len(manifest), np.uint8)  # of workers that had not sealed the row

    @property
    def open(self) -> bool:
        """Whether a row is neither sealed nor rejected, as far as one knows."""
        return bool(self._due or self._holders)

    def give(self, hand: Hand) -> list[Block]:
        """Take files that are due, as many as a worker has room for."""
        room = hand.room - hand.room % CHUNK
        if not (self._due and room):
            return []
        if not self._started:
            self._started = True
            self._progress.start(len(self._rows))
        rows, rest = np.split(self._due.popleft(), [room])
        if len(rest):
            self._due.appendleft(rest)
        hand.given.append(rows)
        self._holders.add(hand)
        return [Block(self._manifest.select(rows), rows)]

    def hear(self, hand: Hand, news: News | None) -> None:
        """Note what a worker has read, or that it is lost."""
        if news is None:
            self._lose(hand)
            return
        manifest, rows = self._manifest, news.rows
        manifest.key[rows], manifest.size[rows], manifest.mtime_ns[rows] = news.key, news.size, news.mtime_ns
        self._read[rows] = True
        for row, number, reject in news.rejects:
            self._rejected[number, row] = True
            self._outcomes[number].rejects.append(reject)
        if len(rows):
            self._progress.advance(len(rows), len({row for row, _, _ in news.rejects}))
        if news.idle:
            hand.given = []
        elif sum(map(len, hand.given)) > _KEPT:
            hand.given = [self._unsafe(hand)]
        if not hand.given:
            self._holders.discard(hand)

    def count(self) -> None:
        """Tell the outcomes how many rows the run has added: of pictures whose bytes are the same, one."""
        read = self._rows[self._read[self._rows]]
        key, _, _ = unique(as_items(self._manifest.key[read]))
        keys = key.view(np.uint8).reshape(-1, KEY_BYTES)
        for outcome, store, before in zip(self._outcomes, self._stores, self._before, strict=True):
            new = store.contains(keys) & (locate(keys, iter(before))[1] < 0)
            outcome.embedded = int(new.sum())

    def _lose(self, hand: Hand) -> None:
        rows, hand.given = self._unsafe(hand), []
        self._holders.discard(hand)
        if not len(rows):
            return
        self._deaths[rows] += 1
        worst = rows[self._deaths[rows] >= TRIES].tolist()
        if worst:
            first, last = (on_one_line(self._manifest.paths[row]) for row in (worst[0], worst[-1]))
            raise UserError(
                f"Expected workers that live, received {TRIES} that died over the same {counted(len(worst), 'file')}, "
                f"{first} to {last}; what was sealed is kept. {LOWER} Or take out the file that is at fault."
            )
        again = int(self._read[rows].sum())
        self._read[rows] = False
        self._due.appendleft(rows)
        self._progress.advance(-again, 0)

    def _unsafe(self, hand: Hand) -> np.ndarray:
        """Rows that a worker was given which the stores do not have, nor refuse."""
        rows = np.concatenate([np.empty(0, np.int64), *hand.given])
        if self._force:  # nothing tells an old row from a new one
            return rows
        key, safe = self._manifest.key[rows], self._read[rows]
        for store, rejected in zip(self._stores, self._rejected, strict=True):
            safe = safe & (store.contains(key) | rejected[rows])
        return rows[~safe]
