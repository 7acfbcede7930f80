"""The nearest rows, against a table of all cosines."""

import numpy as np
import pytest

from classify.data.neighbours.search import among, nearest

SPANS = [(0, 3), (3, 20)]


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(300, 20)) * [100.0] * 20 + rng.normal(size=20) * 1000).astype(np.float32)


def cosines(rows: np.ndarray, asked: np.ndarray, spans: list[tuple[int, int]]) -> np.ndarray:
    mean = rows.mean(axis=0, dtype=np.float64)
    found = np.zeros((len(asked), len(rows)))
    for start, stop in spans:
        a, b = ((each - mean)[:, start:stop] for each in (asked, rows))
        share = (stop - start) / sum(last - first for first, last in spans)
        found += share * (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return found


@pytest.mark.parametrize("spans", [[], SPANS])
@pytest.mark.parametrize("block", [7, 64, 4096])
def test_they_are_those_of_the_whole_table(
    rows: np.ndarray, spans: list[tuple[int, int]], block: int
) -> None:
    table = cosines(rows, rows, spans or [(0, 20)])
    np.fill_diagonal(table, -2)
    found = among(rows, 12, spans, block=block)
    assert (found.index == np.argsort(-table, axis=1)[:, :12]).all()
    assert found.similarity == pytest.approx(-np.sort(-table, axis=1)[:, :12], abs=1e-5)
    assert (found.index.dtype, found.similarity.dtype) == (np.int32, np.float32)


def test_new_rows_are_measured_from_the_mean_of_the_old(rows: np.ndarray) -> None:
    asked = rows[:9] + np.float32(30)
    found = nearest(rows, asked, 5, SPANS, block=50)
    table = cosines(rows, asked, SPANS)
    assert (found.index == np.argsort(-table, axis=1)[:, :5]).all()
    alone = nearest(rows, asked[3:4], 5, SPANS)
    assert (alone.index == found.index[3]).all()


def test_picked_rows_are_named_by_their_place(rows: np.ndarray) -> None:
    picked = np.array([200, 3, 77, 150, 9])
    found, alone = among(rows, 3, picked=picked, block=2), among(rows[picked], 3)
    assert (found.index == alone.index).all()


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_fewer_rows_have_fewer_neighbours(rows: np.ndarray, n: int) -> None:
    found = among(rows[:n], 50)
    assert found.index.shape == found.similarity.shape == (n, max(0, n - 1))
    assert all(set(found.index[row]) == set(range(n)) - {row} for row in range(n))


def test_rows_that_are_the_mean_and_equal_rows_are_harmless() -> None:
    rows = np.ones((10, 4), np.float32)
    found = among(rows, 3)
    assert (found.similarity == 0).all()
    assert (np.diff(found.index, axis=1) > 0).all() and not (found.index == np.arange(10)[:, None]).any()
    rows[0] = 9
    assert (np.abs(among(rows, 3).similarity) <= 1).all()
