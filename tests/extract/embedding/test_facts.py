"""Facts go with the rows: of files, of pictures in memory, and of caches of earlier versions."""

import shutil
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.workspace import Workspace
from extract.embedding.thumbnails import facts_of, facts_store
from extract.notebook.image_embedder import ImageEmbedder
from extract.pictures.decoding import decode_whole
from extract.settings import Decoding
from tests.extract.counting import CountingEngine
from tests.extract.embedding.test_thumbnails import kept, run


def facts(folder: Path) -> np.ndarray:
    data, workspace = kept(folder)[0], Workspace(folder.parent / "w")
    return np.stack(astuple(facts_of(workspace, data.space, data.manifest.key)), axis=1)


def test_each_row_has_those_of_its_file(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    data, found = kept(folder)[0], facts(folder)
    assert found.shape == (9, 8) and found.dtype == np.float32
    for path, row in zip(data.manifest.paths, found, strict=True):
        np.testing.assert_array_equal(row, decode_whole((folder / path).read_bytes(), 32, Decoding())[2])


def test_an_older_cache_has_none_until_extract_reads_its_files(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    before, space = facts(folder), kept(folder)[0].space
    shutil.rmtree(facts_store(Workspace(folder.parent / "w"), space).folder)
    assert np.isnan(facts(folder)).all()
    (folder / "cat/0.png").unlink()
    (folder / "cat/new.png").write_bytes((folder / "cat/1.png").read_bytes())
    run(folder)
    assert engine.pictures == 9
    found = facts(folder)
    assert not np.isnan(found).any()
    assert {row.tobytes() for row in found} <= {row.tobytes() for row in before}


def test_they_are_made_once(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    run(folder)
    store = facts_store(Workspace(folder.parent / "w"), kept(folder)[0].space)
    assert len(store) == len(store.shards()) * 9 == 9


def test_pictures_in_memory_have_them(tmp_path: Path, engine: CountingEngine) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, 40, 60, 3), np.uint8)
    embedder = ImageEmbedder(
        backbone="mobilenet_v2", weights="none", input_size=32, workspace=str(tmp_path / "w"), verbose=False
    )
    embedder.fit_transform(list(pictures))
    workspace = Workspace(tmp_path / "w")
    (store,) = workspace.spaces()
    kept = facts_store(workspace, store.space)
    assert len(kept) == 5
    rows = kept.gather(np.frombuffer(b"".join(kept.shards()[0].keys), np.uint8).reshape(-1, 32))
    assert (rows[:, :2] == (60, 40)).all()
    expected = [np.asarray(Image.fromarray(each).convert("L")).mean() / 255 for each in pictures]
    assert sorted(rows[:, 2]) == pytest.approx(sorted(expected), abs=0.02)
