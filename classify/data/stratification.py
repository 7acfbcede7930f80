"""Which pictures go to the test part: stratified, in an order that no other picture influences, whole groups.

Axes: u distinct pictures, in G groups, of C classes.
"""

import numpy as np
from numpy.typing import NDArray

from cache.manifest import SPLITS, TEST, TRAIN, VAL

UNTESTED = len(SPLITS)  # TRAIN or VAL, whichever it may become; no picture ends with it


def allot_parts(
    label: NDArray[np.integer],
    group: NDArray[np.integer],
    digest: NDArray[np.uint64],
    recorded: NDArray[np.uint8],
    test_size: float,
    val_size: float,
) -> NDArray[np.uint8]:
    """Give each picture TRAIN, VAL or TEST, the same to all of a group.

    The test part is chosen first, as `allot` does, so that it is the same whatever `val_size` is; then, in the same
    manner and order, the validation part among the others.

    Parameters
    ----------
    label, group, digest : as in `allot`
    recorded : (u,) uint8
        TRAIN, VAL, TEST, UNTESTED, or 0 for a new picture.
    test_size, val_size : float
        Of all pictures; together below 1.

    Returns
    -------
    (u,) uint8
    """
    part = allot(
        label, group, digest, np.array([0, TRAIN, TRAIN, TEST, TRAIN], np.uint8)[recorded], test_size
    )
    rest = np.flatnonzero(part == TRAIN)
    if val_size and len(rest):
        known = np.array([0, TRAIN, TEST, 0, 0], np.uint8)[
            recorded[rest]
        ]  # in its turn, VAL is what TEST was
        second = allot(label[rest], group[rest], digest[rest], known, val_size / (1 - test_size))
        part[rest[second == TEST]] = VAL
    return part


def allot(
    label: NDArray[np.integer],
    group: NDArray[np.integer],
    digest: NDArray[np.uint64],
    recorded: NDArray[np.uint8],
    test_size: float,
) -> NDArray[np.uint8]:
    """Give each picture TRAIN or TEST, the same to all of a group.

    Each class aims at round(test_size * its pictures) in the test part, and keeps at least one for training.
    A recorded part decides for its whole group; where members were recorded on both sides, test wins: what
    was tested never trains. All else goes to the test part in the order of the groups' digests, combined: a
    group is taken where it fits, so that a class misses its aim only where no group fits; then one more is
    taken if that leaves the class no farther from its aim. Groups of several classes are chosen before the others,
    for their own share of the aim, one by one: each is taken if that brings the sum of squares of what is
    missing down.

    Parameters
    ----------
    label : (u,) int, 0..C - 1
    group : (u,) int
    digest : (u,) uint64
    recorded : (u,) uint8
        TRAIN, TEST, or 0 for a new picture.
    test_size : float
        Between 0 and 1.

    Returns
    -------
    (u,) uint8
    """
    total = np.bincount(label)
    aim = np.minimum(np.floor(total * test_size + 0.5), total - 1).astype(np.int64)
    groups = _Groups(label, group, digest)
    part = np.zeros(len(groups), np.uint8)
    np.maximum.at(part, groups.of, recorded)  # TEST is the larger
    _take_mixed(groups, part, aim - groups.tested(part))
    _take_pure(groups, part, aim - groups.tested(part))
    part[part == 0] = TRAIN

    # Records, or big groups, may leave a class test pictures only: its smallest group trains.
    bare = (total > 0) & (groups.tested(part) == total)
    stranded = np.flatnonzero(bare[label])
    if len(stranded):
        of = groups.of[stranded]
        order = np.lexsort((groups.digest[of], groups.size[of], label[stranded]))
        _, smallest = np.unique(label[stranded[order]], return_index=True)
        part[of[order[smallest]]] = TRAIN
    return part[groups.of]


class _Groups:
    """Arrays over the G groups."""

    def __init__(
        self, label: NDArray[np.integer], group: NDArray[np.integer], digest: NDArray[np.uint64]
    ) -> None:
        names, self.of = np.unique(group, return_inverse=True)  # self.of (u,)
        self.label = label
        self.size = np.bincount(self.of, minlength=len(names))
        # Not the smallest: of many members one is always small, and big groups would come first.
        self.digest = np.zeros(len(names), np.uint64)
        np.bitwise_xor.at(self.digest, self.of, digest)
        self.low, self.high = np.full(len(names), len(label)), np.full(len(names), -1)
        np.minimum.at(self.low, self.of, label)
        np.maximum.at(self.high, self.of, label)

    def __len__(self) -> int:
        return len(self.size)

    def tested(self, part: NDArray[np.uint8]) -> NDArray[np.int64]:
        """(C,) pictures of each class in the test part; part : (G,)."""
        return np.bincount(self.label[part[self.of] == TEST], minlength=int(self.high.max(initial=-1)) + 1)


def _take_mixed(groups: _Groups, part: NDArray[np.uint8], need: NDArray[np.int64]) -> None:
    """Decide on the new groups of several classes, in place."""
    mixed = (part == 0) & (groups.low < groups.high)
    if not mixed.any():
        return
    classes = len(need)
    fresh = np.bincount(groups.label[(part == 0)[groups.of]], minlength=classes)
    members = np.flatnonzero(mixed[groups.of])
    own = np.bincount(groups.label[members], minlength=classes)
    missing = need * own / np.maximum(fresh, 1)
    order = members[np.lexsort((groups.of[members], groups.digest[groups.of[members]]))]
    for rows in np.split(order, np.flatnonzero(np.diff(groups.of[order])) + 1):
        of, count = np.unique(groups.label[rows], return_counts=True)
        # |missing - count|^2 < |missing|^2
        taken = 2 * (missing[of] @ count) > count @ count
        part[groups.of[rows[0]]] = TEST if taken else TRAIN
        missing[of] -= count * taken


def _take_pure(groups: _Groups, part: NDArray[np.uint8], need: NDArray[np.int64]) -> None:
    """Choose new groups of one class for the test part, in place; all classes at once, without a loop over them."""
    left = np.flatnonzero(part == 0)
    left = left[np.lexsort((groups.digest[left], groups.low[left]))]
    need = need.copy()
    # Each round takes groups up to the first that does not fit, and then looks at smaller ones only: there are
    # at most as many rounds as sizes.
    fitting = left
    while len(fitting := fitting[groups.size[fitting] <= need[groups.low[fitting]]]):
        owner, size = groups.low[fitting], groups.size[fitting]
        upto = np.cumsum(size)
        upto -= (upto - size)[np.searchsorted(owner, owner)]
        take = upto <= need[owner]
        part[fitting[take]] = TEST
        need -= np.bincount(owner[take], size[take], len(need)).astype(np.int64)
        fitting = fitting[~take]

    left = left[part[left] == 0]
    left = left[np.lexsort((groups.digest[left], groups.size[left], groups.low[left]))]
    owner, smallest = np.unique(groups.low[left], return_index=True)
    more = left[smallest]
    over = groups.size[more] - need[owner]
    part[more[(need[owner] > 0) & (over <= need[owner])]] = TEST
