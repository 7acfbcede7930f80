"""Views in the cache: the real pipeline, and an engine that counts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cli
from cache.errors import UserError
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.commands.extract import Summary, extract, extract_views
from extract.embedding import extractor, views
from extract.embedding.progress import Progress
from extract.embedding.spaces import decoding_of, largest
from extract.embedding.views import augment, untested
from extract.pictures.augmentation import View
from extract.pictures.policies import Views
from extract.settings import Decoding, Options
from tests.extract.counting import CountingEngine, make_pictures

STANDARD = Views.of(2)


@pytest.fixture
def workspace(folder: Path, engine: CountingEngine) -> Workspace:
    """Nine pictures, embedded; the engine counts from here."""
    workspace = Workspace(folder.parent / "workspace")
    extracted(workspace, folder)
    engine.pictures = 0
    return workspace


def extracted(workspace: Workspace, folder: Path, **options) -> Summary:  # type: ignore[no-untyped-def]
    return extract(workspace, folder, Backbone.of("mobilenet_v2", "none", 32), Decoding(), Options(**options))


def test_each_view_of_the_rows_asked_for_is_embedded_once(
    workspace: Workspace, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, rows = workspace.load(), np.array([0, 2, 5])
    first = augment(workspace, data, rows, STANDARD)
    assert engine.pictures == 6 and first.to_json() == {
        "rows": 6,
        "embedded": 6,
        "cached": 0,
        "rejected": 0,
        "rejects": [],
    }
    assert [store.space.view for store in first.stores] == [View("standard", k).name for k in (1, 2)]
    assert all(store.contains(data.manifest.key).sum() == 3 for store in first.stores)
    more = augment(workspace, data, rows, Views.of(3))
    assert engine.pictures == 9 and (more.embedded, more.cached) == (3, 6)
    # With all in the cache nothing is looked up, let alone computed.
    monkeypatch.setattr(extractor, "learn_network", None)
    monkeypatch.setattr(views, "backbone_of", None)  # its weights file may be gone
    monkeypatch.setattr(views, "decoding_of", None)
    again = augment(workspace, data, rows, Views.of(3))
    assert engine.pictures == 9 and (again.embedded, again.cached, again.rejected) == (0, 9, 0)
    gathered = again.gather(data.embedding[rows], data.manifest.key[rows])
    assert gathered.shape == (4, 3, 3) and (gathered[0] == data.embedding[rows]).all()
    assert all(np.abs(view - gathered[0]).min(axis=1).max() > 0 for view in gathered[1:])


def test_a_picture_that_is_gone_or_changed_is_counted_and_the_plain_one_stands_for_it(
    workspace: Workspace, folder: Path, engine: CountingEngine
) -> None:
    data, rows = workspace.load(), np.arange(9)
    (folder / data.manifest.paths[1]).unlink()
    (folder / data.manifest.paths[2]).write_bytes((folder / data.manifest.paths[3]).read_bytes())
    keys = data.manifest.key.copy()
    found = augment(workspace, data, rows, STANDARD)
    assert (found.embedded, found.cached, found.rejected) == (14, 0, 4)
    assert (data.manifest.key == keys).all()
    gone, changed = found.rejects
    assert (gone.path, changed.path) == (data.manifest.paths[1], data.manifest.paths[2])
    assert "No such file" in gone.reason and changed.reason == "the file has changed"
    assert found.to_json()["rejects"] == [{"path": r.path, "reason": r.reason} for r in (gone, changed)]
    gathered = found.gather(data.embedding, data.manifest.key)
    same = (gathered[1:] == data.embedding).all(axis=(0, 2))
    assert np.flatnonzero(same).tolist() == [1, 2]


def test_what_a_raised_limit_let_in_is_read_again(
    workspace: Workspace, folder: Path, engine: CountingEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("1", (8100, 8100)).save(folder / "cat" / "large.png")
    backbone, raised = Backbone.of("mobilenet_v2", "none", 32), Decoding(max_pixels=100_000_000)
    summary = extract(workspace, folder, backbone, raised, Options())
    assert not summary.rejects
    Image.new("RGB", (9, 9)).save(folder / "cat" / "small.png")
    assert extracted(workspace, folder).embedded == 1  # with the usual limit
    data = workspace.load()
    assert decoding_of(workspace, data.space) == raised
    assert largest(workspace, replace(data.space, view="another")) == Decoding().max_pixels
    found = augment(workspace, data, untested(data), Views.of(1))
    assert (found.embedded, found.rejected) == (11, 0)
    # What the command was told counts for the views, too.
    words = ["extract", str(folder), "--views", "1", "--augment", "flip", "--workspace", str(workspace.root)]
    words += ["--backbone", "mobilenet_v2", "--weights", "none", "--input-size", "32", "--json"]
    assert cli.main(words) == 0 and cli.main([*words, "--strict"]) == 3
    printed = capsys.readouterr()
    assert "rejected cat/large.png: " in printed.err
    (reject,) = json.loads(printed.out.splitlines()[-1])["views"]["rejects"]
    assert reject["path"] == "cat/large.png" and "65610000 pixels" in reject["reason"]
    assert cli.main([*words, "--strict", "--max-pixels", "100000000"]) == 0


def test_ctrl_c_keeps_what_is_sealed(workspace: Workspace, engine: CountingEngine) -> None:
    def stop(done: int, rejected: int) -> None:
        if engine.pictures > 9:
            raise KeyboardInterrupt

    data, rows = workspace.load(), np.arange(9)
    with pytest.raises(KeyboardInterrupt):
        augment(workspace, data, rows, STANDARD, progress=Progress(advance=stop))
    found = augment(workspace, data, rows, STANDARD)
    assert found.cached >= 9 and found.embedded + found.cached == 18


def test_extract_leaves_out_what_is_kept_for_testing(tmp_path: Path, engine: CountingEngine) -> None:
    folder = tmp_path / "parts"
    for part, count in (("train", 3), ("val", 2), ("test", 2)):
        make_pictures(folder / part, {"cat": count, f"dog-{part}": count})
    workspace = Workspace(tmp_path / "workspace")
    summary = extracted(workspace, folder)
    assert len(untested(workspace.load())) == 6
    found = extract_views(workspace, summary, STANDARD, Decoding(), Options(), Progress())
    assert found.rows == found.embedded == 12 and engine.pictures == 14 + 12


def test_parts_of_a_data_set_and_force(tmp_path: Path, engine: CountingEngine) -> None:
    folder = make_pictures(tmp_path / "more", {"cat": 5, "dog": 5, "cow": 5, "hen": 5})
    workspace, rows = Workspace(tmp_path / "parts"), 0
    for i in (1, 2):
        options = Options(shard=(i, 2))
        rows += extract_views(
            workspace, extracted(workspace, folder, shard=(i, 2)), STANDARD, Decoding(), options, Progress()
        ).embedded
    whole = extracted(workspace, folder)
    assert (
        rows == 40
        and extract_views(workspace, whole, STANDARD, Decoding(), Options(), Progress()).cached == 40
    )
    assert (
        extract_views(workspace, whole, STANDARD, Decoding(), Options(force=True), Progress()).embedded == 40
    )


def test_a_view_of_a_view_and_other_weights_are_refused(workspace: Workspace, engine: CountingEngine) -> None:
    data = workspace.load()
    view = augment(workspace, data, np.arange(9), STANDARD).stores[0].space
    with pytest.raises(UserError, match="Expected a space of plain pictures, received"):
        augment(workspace, workspace.load(space=view.id), np.arange(9), STANDARD)
    engine.network = replace(engine.network, weights="ab" * 32)
    with pytest.raises(UserError, match="Run extract again with the weights there are now"):
        augment(workspace, data, np.arange(9), Views.of(1, "flip"))
