"""Neighbours of a data set: kept, found again, and made anew for what changed."""

from pathlib import Path

import numpy as np
import pytest

from cache.dataset import Embedded
from cache.manifest import Manifest
from cache.space import Space
from cache.storage.store import Store
from classify.data.neighbours import approximate, cached, kept
from classify.data.neighbours.cached import neighbours_of
from classify.data.neighbours.search import Neighbours

N = 90


def space(pooling: str) -> Space:
    return Space("net", "0" * 64, pooling, 32, "crop", "x", "pillow")


def manifest(keys: np.ndarray) -> Manifest:
    n = len(keys)
    zeros = np.zeros(n, np.int64)
    return Manifest(
        "/",
        ("a",),
        [f"{i}.jpg" for i in range(n)],
        zeros.astype("i4"),
        zeros.astype("u1"),
        keys,
        zeros,
        zeros,
    )


@pytest.fixture
def data(tmp_path: Path) -> Embedded:
    """90 pictures in two spaces, one of them with parts; the last 3 are the first again."""
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 256, (N - 3, 32), np.uint8)
    stores = []
    for pooling, width in (("stages:4+6", 10), ("avg", 5)):
        made = Store(tmp_path / space(pooling).id, space(pooling))
        made.add(keys, rng.normal(size=(N - 3, width)).astype(np.float32))
        stores.append(made)
    return Embedded("d", tuple(stores), manifest(np.concatenate([keys, keys[:3]])), missing=0)


@pytest.fixture
def many(tmp_path: Path) -> Embedded:
    """1,500 pictures in 30 heaps."""
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(30, 12)).repeat(50, axis=0) + 0.3 * rng.normal(size=(1500, 12))
    keys = rng.integers(0, 256, (1500, 32), np.uint8)
    made = Store(tmp_path / space("avg").id, space("avg"))
    made.add(keys, rows.astype(np.float32))
    return Embedded("m", (made,), manifest(keys), missing=0)


@pytest.fixture
def scattered(tmp_path: Path) -> Embedded:
    """1,500 pictures, none of which is near another."""
    rng = np.random.default_rng(3)
    keys = rng.integers(0, 256, (1500, 32), np.uint8)
    made = Store(tmp_path / space("avg").id, space("avg"))
    made.add(keys, rng.normal(size=(1500, 60)).astype(np.float32))
    return Embedded("s", (made,), manifest(keys), missing=0)


def files(data: Embedded) -> list[Path]:
    return sorted((data.store.folder / "neighbours").glob("*"))


def again(data: Embedded, rows: np.ndarray | None = None) -> Embedded:
    chosen = data.manifest if rows is None else data.manifest.select(rows)
    return Embedded(data.name, data.stores, chosen, missing=0)


def never(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*args: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(cached, "_search", search)


def test_parts_of_spaces_count_by_their_width(data: Embedded) -> None:
    X = data.embedding[: N - 3].astype(np.float64)
    X -= X.mean(axis=0)
    cosine = np.zeros((len(X), len(X)))
    for start, stop in ((0, 4), (4, 10), (10, 15)):
        part = X[:, start:stop] / np.linalg.norm(X[:, start:stop], axis=1, keepdims=True)
        cosine += part @ part.T * (stop - start) / 15
    np.fill_diagonal(cosine, -2)
    found = neighbours_of(data)
    assert (found.index[: N - 3] == np.argsort(-cosine, axis=1)[:, :50]).all()
    assert found.similarity[: N - 3] == pytest.approx(-np.sort(-cosine, axis=1)[:, :50], abs=1e-6)


def test_identical_files_are_one_picture(data: Embedded) -> None:
    found = neighbours_of(data)
    assert found.index.shape == (N, 50) and found.index.max() < N - 3
    assert (found.index[N - 3 :] == found.index[:3]).all()
    assert not (found.index[N - 3 :] == np.arange(3)[:, None]).any()


def test_they_are_found_once_whatever_the_order(data: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    found = neighbours_of(data)
    never(monkeypatch)
    assert (neighbours_of(again(data)).index == found.index).all()
    order = np.random.default_rng(0).permutation(N - 3)
    other = neighbours_of(again(data, order))
    assert (order[other.index] == found.index[order]).all()
    assert (other.similarity == found.similarity[order]).all()


def test_other_pictures_or_other_rows_are_searched_anew(data: Embedded) -> None:
    found = neighbours_of(data)
    assert len(neighbours_of(again(data, np.arange(40))).index) == 40
    assert len(files(data)) == 2
    data.store.add(data.manifest.key[:1], -data.embedding[:1, :10])
    changed = neighbours_of(again(data))
    assert len(files(data)) == 3
    assert (changed.index[0] != found.index[0]).any()


def test_a_damaged_file_is_made_again(data: Embedded) -> None:
    found = neighbours_of(data)
    (file,) = files(data)
    whole = file.read_bytes()
    for damaged in (whole[:-900], b"", whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:]):
        file.unlink()
        file.write_bytes(damaged)
        assert (neighbours_of(again(data)).index == found.index).all()
        assert file.read_bytes() == whole


def test_old_files_go(data: Embedded) -> None:
    for n in range(20, 40):
        neighbours_of(again(data, np.arange(n)))
    assert len(files(data)) == kept._FILES


def test_of_many_an_index_finds_most_and_says_how_many(
    many: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss", reason="needs the extra `index`")
    exact, told = neighbours_of(many), list[str]()
    (file,) = files(many)
    file.unlink()
    found = neighbours_of(many, told.append, exact=1000)
    shared = np.mean([len(np.intersect1d(a, b)) / 50 for a, b in zip(found.index, exact.index, strict=True)])
    assert 0.9 < shared < 1 and found.recall == pytest.approx(shared, abs=0.02)
    assert not (found.index == np.arange(1500)[:, None]).any() and found.index.min() >= 0
    assert (np.diff(found.similarity, axis=1) <= 1e-6).all()
    assert told == ["an index of 1,500 pictures is made, once"]
    assert found.notes == [
        f"neighbours by an index: {found.recall:.1%} of the true ones, on a sample of 1,000 pictures"
    ]
    never(monkeypatch)
    again = neighbours_of(many, told.append)
    assert (again.index == found.index).all() and again.notes == found.notes and exact.notes == []


def test_where_an_index_finds_too_few_all_are_compared_or_it_is_told(
    scattered: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss", reason="needs the extra `index`")
    monkeypatch.setattr(approximate, "LOOKED_AT", 300)

    def found() -> tuple[Neighbours, list[str]]:
        for file in files(scattered):
            file.unlink()
        told = list[str]()
        return neighbours_of(scattered, told.append, exact=1000), told

    by_components, told = found()
    assert len(told) == 1 and by_components.recall > 0.95
    monkeypatch.setattr(approximate, "COMPONENTS", 4)
    whole, told = found()
    assert whole.recall == 1 and whole.notes == [] and "all are compared with all" in told[1]
    monkeypatch.setattr(approximate, "TABLE", 1_000)
    some, told = found()
    assert len(told) == 1
    assert 0.1 < some.recall < 0.9 and some.notes[0].endswith("; to find more would take too long")
    shared = np.mean([np.isin(a, b).mean() for a, b in zip(whole.index, some.index, strict=True)])
    assert some.recall == pytest.approx(shared, abs=0.02)


def test_what_an_index_finds_is_compared_whole(scattered: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss", reason="needs the extra `index`")
    monkeypatch.setattr(approximate, "COMPONENTS", 20)
    monkeypatch.setattr(approximate, "TABLE", 0)
    found = neighbours_of(scattered, exact=1000)
    X = scattered.embedding - scattered.embedding.mean(axis=0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    assert found.similarity == pytest.approx(np.take_along_axis(X @ X.T, found.index, axis=1), abs=1e-5)
    assert (np.diff(found.similarity, axis=1) <= 0).all()
    assert not (found.index == np.arange(1500)[:, None]).any()


def test_of_many_without_the_index_each_is_found(many: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "find_spec", lambda name: None)
    told: list[str] = []
    found = neighbours_of(many, told.append, exact=1000)
    assert found.recall == 1 and len(told) == 1 and "pip install 'coldframe[index]'" in told[0]
