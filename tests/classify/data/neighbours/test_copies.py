"""Near copies of a data set: what is kept of them is what is found."""

from dataclasses import fields
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.dataset import Embedded
from cache.storage.store import Store
from classify.data.neighbours import near_duplicates
from classify.data.neighbours.copies import copies_of
from classify.data.neighbours.near_duplicates import Groups
from tests.classify.data.neighbours.test_cached import manifest
from tests.classify.data.neighbours.test_near_duplicates import SPACE, Files


def photograph(seed: int) -> Image.Image:
    waves = np.random.default_rng(seed).normal(size=(24, 24, 3))
    return Image.fromarray(np.uint8(np.clip(128 + 50 * waves, 0, 255))).resize(
        (160, 120), Image.Resampling.BICUBIC
    )


def jpeg(picture: Image.Image, quality: int) -> bytes:
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.fixture
def files() -> Files:
    """12 photographs, 3 of them saved again, one of them twice the same."""
    photographs = [photograph(seed) for seed in range(12)]
    contents = [jpeg(each, 90) for each in photographs] + [jpeg(each, 60) for each in photographs[:3]]
    return Files([*contents, contents[5]])


@pytest.fixture
def data(files: Files, tmp_path: Path) -> Embedded:
    store = Store(tmp_path / SPACE.id, SPACE)
    store.add(files.keys, files.X)
    return Embedded("d", (store,), manifest(files.keys), missing=0)


def alike(a: Groups, b: Groups) -> bool:
    return all(np.array_equal(getattr(a, each.name), getattr(b, each.name)) for each in fields(a))


def test_they_are_those_of_the_search_and_found_once(
    files: Files, data: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = files.groups()
    assert len(searched.pairs) == 3 and searched.identical == 1
    assert alike(copies_of(data, files.thumbnails), searched)

    def again(*args: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(near_duplicates, "groups", again)
    assert alike(copies_of(data, files.thumbnails), searched)
    fewer = Embedded("d", data.stores, data.manifest.select(np.arange(9)), missing=0)
    with pytest.raises(AssertionError, match="searched again"):
        copies_of(fewer, files.thumbnails)


def test_a_thumbnail_that_was_made_since_counts(files: Files, data: Embedded, tmp_path: Path) -> None:
    none = Store(tmp_path / "thumbnails" / files.thumbnails.space.id, files.thumbnails.space)
    assert copies_of(data, none).unseen == 15
    none.add(files.keys, files.thumbnails.gather(files.keys))
    assert copies_of(data, none).unseen == 0 and len(copies_of(data, none).pairs) == 3
