"""Rows by one resizer and by the other lie in spaces of their own, and a space goes on with its own."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.commands.ls import list_workspace
from cache.errors import UserError
from cache.space import tell_apart
from cache.storage.store import Store
from cache.workspace import Workspace, extract_command
from extract import ImageEmbedder
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.embedding.progress import Progress
from extract.embedding.spaces import decoding_of, make_space
from extract.embedding.thumbnails import complete, thumbnails_of
from extract.embedding.views import augment
from extract.pictures.augmentation import View
from extract.pictures.decoding import DECODERS
from extract.pictures.files import load_row
from extract.pictures.policies import Views
from extract.settings import RESIZERS, Decoding, Options
from tests.extract.counting import CountingEngine

SMALL = {"backbone": "mobilenet_v2", "weights": "none", "input_size": 32}
BEFORE = "pillow;exif;alpha-white;cmyk-rgb;16bit-scale;first-frame;draft2x;bicubic"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w")


def run(workspace: Workspace, folder: Path, resizer: str, notes: list[str]) -> Store:
    backbone, progress = Backbone.of("mobilenet_v2", "none", 32), Progress(note=notes.append)
    done = extract(
        workspace, folder, backbone, Decoding(resizer=resizer), Options(), name="pets", progress=progress
    )
    return workspace.store_by_id(done.space)


def test_each_has_a_space_and_the_other_is_told(
    workspace: Workspace, folder: Path, engine: CountingEngine
) -> None:
    notes: list[str] = []
    old = run(workspace, folder, "pillow", notes)
    assert (
        old.space.decoder == BEFORE and not notes and extract_command(old.space).endswith(" --resizer pillow")
    )
    before = old.gather(workspace.manifest("pets").key)
    new = run(workspace, folder, "fast", notes)
    assert new.space == replace(old.space, decoder=DECODERS["fast"]) and "--resizer" not in extract_command(
        new.space
    )
    assert notes == [
        "mobilenet_v2: 9 rows by the resizer pillow stay, and all are made again by fast; to go on with those that are "
        "there, pass --resizer pillow"
    ]
    assert engine.pictures == 18
    told = [each["resampling"] for each in list_workspace(workspace)["spaces"]]
    assert sorted(told) == ["bicubic", "bicubic by fast_image_resize"] and tell_apart(
        [old.space, new.space]
    ) == [
        "mobilenet_v2 bicubic",
        "mobilenet_v2 bicubic by fast_image_resize",
    ]
    after = new.gather(workspace.manifest("pets").key)
    assert (before != after).any() and np.abs(
        before - after
    ).max() < 0.2  # levels of 255, of a mean over a square
    for resizer in RESIZERS:
        run(workspace, folder, resizer, notes)
    assert engine.pictures == 18 and len(notes) == 1


@pytest.mark.parametrize("resizer", RESIZERS)
def test_a_space_goes_on_with_its_own(
    resizer: str, workspace: Workspace, folder: Path, engine: CountingEngine
) -> None:
    store = run(workspace, folder, resizer, [])
    data = workspace.load("pets", store.space.id)
    decoding = decoding_of(workspace, store.space)
    assert decoding.resizer == resizer
    rows = np.arange(9)

    def expected(view: View | None = None) -> np.ndarray:
        return engine.embed(
            np.stack([load_row(data.manifest, row, 32, Decoding(resizer=resizer), view) for row in rows])
        )

    np.testing.assert_array_equal(data.embedding, expected())
    (view,) = augment(workspace, data, rows, Views.of(1, "standard")).stores
    assert view.space.decoder == store.space.decoder
    np.testing.assert_array_equal(view.gather(data.manifest.key), expected(View("standard", 1)))

    thumbnails = thumbnails_of(workspace, store.space)
    made = thumbnails.gather(data.manifest.key)
    shutil.rmtree(thumbnails.folder)
    complete(workspace, store.space, data.manifest, 10**6, Progress())
    again = thumbnails_of(workspace, store.space)
    assert again.space.decoder == store.space.decoder
    np.testing.assert_array_equal(again.gather(data.manifest.key), made)


def test_a_transformer_goes_on_with_its_own(
    workspace: Workspace, folder: Path, engine: CountingEngine
) -> None:
    stores = {resizer: run(workspace, folder, resizer, []) for resizer in RESIZERS}
    paths, counted = sorted(folder.rglob("*.png")), engine.pictures
    for resizer, store in stores.items():
        embedder = ImageEmbedder(**SMALL, workspace=workspace.root, resizer=resizer).fit(paths)
        assert embedder.space_ == store.space.id
        embedder.transform(paths)
    before = ImageEmbedder(**SMALL, workspace=workspace.root, resizer="pillow").fit(paths)
    state = before.__getstate__()
    del state["resizer"]  # pickled by a version without a choice
    old = ImageEmbedder.__new__(ImageEmbedder)
    old.__setstate__(state)
    old.transform(paths)
    assert old.get_params()["resizer"] == "pillow" and pickle.loads(pickle.dumps(old)).resizer == "pillow"
    assert engine.pictures == counted
    with pytest.raises(UserError, match="fast, pillow, received 'opencv'"):
        ImageEmbedder(**SMALL, workspace=workspace.root, resizer="opencv").fit(paths)


def test_a_decoder_that_nobody_knows_is_refused(workspace: Workspace) -> None:
    backbone = Backbone.of("mobilenet_v2", "none", 32)
    space = make_space(backbone, CountingEngine.network, Decoding(), "float32")
    space = replace(space, decoder="pillow;lanczos")
    with pytest.raises(UserError, match=r"received 'pillow;lanczos': another version of coldframe"):
        decoding_of(workspace, space)
    assert thumbnails_of(workspace, space).space.decoder == BEFORE  # near copies are told all the same
