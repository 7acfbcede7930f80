import numpy as np
import pytest

from cache.errors import UserError
from classify.data.groups import connect, join, of_column
from tests.classify.samples import make_manifest


def test_join_is_transitive_over_all_groupings() -> None:
    a = np.array([5, 5, 6, 7, 8, -1, -1, 9])
    b = np.array([0, 1, 1, 2, 2, -1, -1, -1])
    assert join(a).tolist() == [0, 0, 1, 2, 3, 4, 5, 6]
    assert join(a, b).tolist() == [0, 0, 0, 1, 1, 2, 3, 4]
    assert join(b, a).tolist() == join(a, b).tolist()
    assert join(a, b).dtype == np.int32


def test_nothing_to_join() -> None:
    assert join(np.empty(0, int)).tolist() == []
    assert connect(3, np.empty((2, 0), int)).tolist() == [0, 1, 2]
    assert connect(4, np.array([[3, 3], [1, 3]])).tolist() == [0, 1, 2, 1]


def test_long_chains_are_one_group() -> None:
    rows = np.random.default_rng(0).permutation(50_000)
    assert not connect(50_000, np.stack([rows[1:], rows[:-1]])).any()


def test_a_column_groups_its_values_and_nothing_else() -> None:
    manifest = make_manifest(np.zeros(6, int), ("a",))
    manifest.columns["patient"] = ["p1", "p2", " p1 ", "", " ", "1"]
    assert (of_column(manifest, "patient") < 0).tolist() == [False, False, False, True, True, False]
    assert join(of_column(manifest, "patient")).tolist() == [0, 1, 0, 2, 3, 4]
    with pytest.raises(UserError, match=r"received 'Patient'.*are: 'patient'"):
        of_column(manifest, "Patient")
