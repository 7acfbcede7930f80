"""Places in the plane: alike beside alike, the same each time, and old ones where they were."""

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.manifold import trustworthiness as oracle
from threadpoolctl import threadpool_limits

from classify.commands.map import layout, trust
from classify.commands.map.layout import place
from classify.commands.map.trust import trustworthiness
from classify.data.neighbours.search import among


def directions(n: int, lumps: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 16) rows of length 1 around as many lumps, and the lump of each."""
    generator = np.random.default_rng(seed)
    lump = np.arange(n) % lumps
    rows = np.eye(16)[lump] + generator.normal(size=(n, 16)) * 0.1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), lump


def lay_out(rows: np.ndarray) -> np.ndarray:
    """With the exact neighbours."""
    return layout.lay_out(rows, among(rows, layout.NEIGHBOURS))


def apart(where: np.ndarray, lump: np.ndarray) -> bool:
    """Whether the nearest of each is one of its own lump."""
    distance = np.linalg.norm(where[:, None] - where[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    return bool((lump[distance.argmin(axis=1)] == lump).all())


@pytest.fixture(params=[True, False], ids=["openTSNE", "scikit-learn"])
def extra(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """With the extra, and without it, on one thread: on a busy machine several wait for each other."""
    if request.param:
        pytest.importorskip("openTSNE", reason="pip install 'coldframe[map]'")
    monkeypatch.setattr(layout, "has_extra", lambda: request.param)
    with threadpool_limits(1, user_api="openmp"):
        yield bool(request.param)


def test_alike_lies_beside_alike_and_the_same_each_time(extra: bool) -> None:
    rows, lump = directions(120)
    where = lay_out(rows)
    assert where.shape == (120, 2) and apart(where, lump)
    np.testing.assert_array_equal(where, lay_out(rows))
    np.testing.assert_allclose(where.mean(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 13])
def test_few_pictures_have_places(n: int, extra: bool) -> None:
    where = lay_out(directions(n)[0])
    assert where.shape == (n, 2) and np.isfinite(where).all()


def test_rows_that_are_all_alike_have_places(extra: bool) -> None:
    assert np.isfinite(lay_out(np.zeros((20, 4), np.float32))).all()


def test_new_pictures_come_to_those_that_they_are_like() -> None:
    pytest.importorskip("openTSNE", reason="pip install 'coldframe[map]'")
    rows, lump = directions(140)
    where = lay_out(rows[:120])
    before = where.copy()
    new = place(rows[120:], rows[:120], where)
    np.testing.assert_array_equal(where, before)
    assert apart(np.concatenate([where, new]), lump)


@pytest.mark.parametrize("n", [9, 60, 300])
def test_trustworthiness_is_scikit_learns(n: int) -> None:
    """In float64: in float32 two neighbours that are nearly as near change places on some processors."""
    rows = directions(n)[0].astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    where = np.random.default_rng(1).normal(size=(n, 2)) + rows[:, :2] * 4
    value, measured = trustworthiness(rows, where)
    assert measured == n and 0.5 < value < 1
    assert value == pytest.approx(oracle(rows, where, n_neighbors=min(10, (n - 1) // 2)), abs=1e-9)


def test_trustworthiness_of_a_sample_is_near_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = directions(600)
    where = np.random.default_rng(1).normal(size=(600, 2))
    whole, _ = trustworthiness(rows, where)
    monkeypatch.setattr(trust, "_ROWS", 300)
    value, measured = trustworthiness(rows, where)
    assert (
        measured == 300 and value == pytest.approx(whole, abs=0.02) and whole == pytest.approx(0.5, abs=0.05)
    )


def test_trustworthiness_of_two_pictures_is_not_known() -> None:
    assert trustworthiness(directions(2)[0], np.zeros((2, 2))) is None
