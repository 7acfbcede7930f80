"""Near copies by an index: those that a comparison of all with all finds, and how many it misses is told."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from cache.dataset import Embedded
from cache.storage.store import Store
from cache.workspace import Workspace
from classify.data.neighbours import copies, indexed_pairs, near_duplicates
from classify.data.neighbours.copies import copies_of
from classify.data.neighbours.near_duplicates import groups
from extract.embedding.thumbnails import thumbnails_of
from tests.classify.data.neighbours.test_cached import manifest
from tests.classify.samples import SPACE

pytest.importorskip("faiss", reason="needs the extra `index`")

N, WIDTH = 1_200, 200
PLANTED = np.stack([np.arange(100), np.arange(600, 700)], axis=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Embedded, Store]:
    """Pictures of noise as of photographs; 100 are kept twice, of which half have rows alike, and half are turned."""
    draw = np.random.default_rng(0)
    waves = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.rfftfreq(32), indexing="ij"))
    luma = np.fft.irfft2(np.fft.rfft2(draw.normal(size=(N, 32, 32))) / np.maximum(waves, 1 / 32), s=(32, 32))
    luma = 128 + 40 * luma / luma.std(axis=(1, 2), keepdims=True)
    rows = draw.normal(size=(N, WIDTH)).astype(np.float32)
    kept, again = PLANTED.T
    luma[again] = luma[kept] + draw.normal(size=(100, 32, 32))
    rows[again[:50]] = rows[kept[:50]] + 0.3 * draw.normal(size=(50, WIDTH))
    luma[again[50:]] = luma[again[50:]].swapaxes(1, 2)
    keys = draw.integers(256, size=(N, 32), dtype=np.uint8)
    place = tmp_path_factory.mktemp("index")
    store, thumbnails = Store(place / SPACE.id, SPACE), thumbnails_of(Workspace(place), SPACE)
    store.add(keys, rows)
    thumbnails.create().add(keys, luma.clip(0, 255).round())
    return Embedded("d", (store,), manifest(keys), missing=0), thumbnails


def test_an_index_finds_what_comparing_all_with_all_finds(data: tuple[Embedded, Store]) -> None:
    embedded, thumbnails = data
    asked = partial(groups, embedded.manifest.key, embedded.embedding, thumbnails)
    exact, found = asked(), asked(exact=0)
    assert exact.pairs.tolist() == PLANTED.tolist() and not exact.sampled
    assert found.pairs.tolist() == exact.pairs.tolist()
    assert np.array_equal(found.group, exact.group) and np.allclose(found.likeness, exact.likeness)
    assert 50 < found.found <= found.sampled
    assert found.notes[-1].endswith(f"it names {found.found / found.sampled:.1%}")


def test_what_an_index_misses_is_told(data: tuple[Embedded, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    embedded, thumbnails = data

    def blind(*args: object) -> indexed_pairs.Alike:
        places, near = real(*args)
        return places[::2], near[::2]

    real = indexed_pairs._alike
    monkeypatch.setattr(indexed_pairs, "_alike", blind)
    found = groups(embedded.manifest.key, embedded.embedding, thumbnails, exact=0)
    assert 0.3 < found.found / found.sampled < 0.7


def test_of_many_pictures_no_row_is_held_and_the_answer_is_kept(
    data: tuple[Embedded, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded, thumbnails = data
    fresh = replace(embedded)
    monkeypatch.setattr(copies, "EXACT", 0)
    monkeypatch.setattr(near_duplicates, "groups", partial(groups, exact=0))
    found = copies_of(fresh, thumbnails)
    assert found.pairs.tolist() == PLANTED.tolist() and "embedding" not in vars(fresh)
    monkeypatch.setattr(near_duplicates, "groups", None)
    again = copies_of(fresh, thumbnails)
    assert again.notes == found.notes and again.sampled == found.sampled > 0


def test_without_the_extra_all_are_compared(
    data: tuple[Embedded, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded, thumbnails = data
    monkeypatch.setattr(near_duplicates, "find_spec", lambda name: None)
    found = groups(embedded.manifest.key, embedded.embedding, thumbnails, exact=0)
    assert found.pairs.tolist() == PLANTED.tolist() and not found.sampled


@pytest.mark.parametrize("number", [0, np.nan])
def test_rows_without_a_direction_are_near_none(number: float, data: tuple[Embedded, Store]) -> None:
    embedded, thumbnails = data
    rows = np.full_like(embedded.embedding, number)
    found = groups(embedded.manifest.key, rows, thumbnails, exact=0)
    assert {tuple(pair) for pair in PLANTED.tolist()} == {tuple(pair) for pair in found.pairs.tolist()}
