"""Arrays become files in the workspace, once, and from there on a data set like any other."""

import shutil
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cli
from cache.errors import UserError
from cache.workspace import Workspace
from extract import ImageEmbedder, add_arrays
from extract.commands import extract
from extract.commands.manifest import survey
from extract.embedding import extractor, progress
from extract.notebook import arrays
from extract.sources import unpacked
from extract.sources.source import open_source
from tests.extract.counting import CountingEngine

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 20, 24, 3), np.uint8)
LABELS = [7, 10, 7, 10, 7, 10, 7]


@pytest.fixture
def embedder(tmp_path: Path) -> ImageEmbedder:
    return ImageEmbedder(
        backbone="mobilenet_v2", weights="none", input_size=32, workspace=tmp_path / "workspace"
    )


def test_the_files_hold_the_pictures_and_the_table_the_labels(
    embedder: ImageEmbedder, engine: CountingEngine
) -> None:
    parts = [
        "train",
        "Training",
        "val",
        "validation",
        "test",
        "testing",
        "",
    ]  # as folders of parts may be called
    summary = add_arrays("digits", IMAGES, np.array(LABELS), split=parts, embedder=embedder)
    assert (summary.files, summary.embedded, summary.rejected) == (7, 7, 0)
    data = Workspace.locate(embedder.workspace).load()
    manifest = data.manifest
    assert data.name == "digits" and manifest.classes == ("10", "7")
    assert [manifest.classes[label] for label in manifest.label] == list(map(str, LABELS))
    assert manifest.split.tolist() == [1, 1, 2, 2, 3, 3, 0]
    assert Path(manifest.root).parent == Path(embedder.workspace or "") / "sources"
    for path, image in zip(manifest.paths, IMAGES, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(Path(manifest.root, path))), image)
    np.testing.assert_array_equal(embedder.fit_transform(IMAGES), data.embedding)


def test_the_same_arrays_are_written_and_embedded_once(
    embedder: ImageEmbedder, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_arrays("digits", IMAGES, LABELS, embedder=embedder)
    monkeypatch.setattr(arrays, "Image", None)
    assert add_arrays("digits", list(IMAGES), LABELS, embedder=embedder).cached == 7
    assert engine.pictures == 7


def test_other_arrays_take_the_place_of_those_before(embedder: ImageEmbedder, engine: CountingEngine) -> None:
    add_arrays("digits", IMAGES, LABELS, embedder=embedder)
    summary = add_arrays("digits", IMAGES[:4, :, :, 0], LABELS[:4], embedder=embedder)
    assert (summary.files, summary.embedded) == (4, 4)
    assert len(Workspace.locate(embedder.workspace).load("digits").manifest) == 4
    relabelled = add_arrays("digits", IMAGES, ["a", "train", "b/c", 'd"', "a", "a", "a,a"], embedder=embedder)
    assert (relabelled.files, relabelled.cached) == (7, 7)
    manifest = Workspace.locate(embedder.workspace).load().manifest
    assert manifest.classes == ("a", "a,a", "b/c", 'd"', "train")
    folder = Path(manifest.root)
    assert set(folder.parent.iterdir()) == {folder, folder.with_name(f"{folder.name}.json")}
    add_arrays("digits", IMAGES, ["a", "train", "b/c", 'd"', "a", "a", "a,a"], embedder=embedder)
    assert folder.is_dir()


def test_files_of_which_another_data_set_is_made_are_kept(
    embedder: ImageEmbedder, engine: CountingEngine
) -> None:
    add_arrays("digits", IMAGES, LABELS, embedder=embedder)
    workspace = Workspace.locate(embedder.workspace)
    workspace.save_manifest("other", workspace.manifest("digits"))
    add_arrays("digits", IMAGES[:4], LABELS[:4], embedder=embedder)
    assert Path(workspace.manifest("other").root, "labels.csv").is_file()


def test_a_failed_extraction_keeps_the_arrays_before(
    embedder: ImageEmbedder, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_arrays("digits", IMAGES, LABELS, embedder=embedder)

    def fail(*_: object) -> None:
        raise UserError("no weights")

    with monkeypatch.context() as patch:
        patch.setattr(extractor, "learn_network", fail)
        with pytest.raises(UserError, match="no weights"):
            add_arrays("digits", IMAGES[:4], LABELS[:4], embedder=embedder)
    manifest = Workspace.locate(embedder.workspace).manifest("digits")
    assert len(manifest) == 7 and Path(manifest.root, manifest.paths[6]).is_file()


def test_an_archive_keeps_its_name(embedder: ImageEmbedder, tmp_path: Path) -> None:
    (tmp_path / "site" / "a").mkdir(parents=True)
    Image.fromarray(IMAGES[0]).save(tmp_path / "site" / "a" / "0.png")
    archive = Path(shutil.make_archive(str(tmp_path / "digits"), "zip", tmp_path / "site"))
    workspace = Workspace.locate(embedder.workspace)
    survey(workspace, archive, None, progress.Progress())
    with pytest.raises(UserError, match=r"data set 'digits' to be .*digits\.zip, as before"):
        add_arrays("digits", IMAGES, LABELS, embedder=embedder)
    assert len(workspace.manifest("digits")) == 1 and len(list((workspace.root / "sources").iterdir())) == 2


def test_nobody_clears_away_what_is_being_written(
    embedder: ImageEmbedder, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "site" / "a").mkdir(parents=True)
    Image.fromarray(IMAGES[0]).save(tmp_path / "site" / "a" / "0.png")
    archive = Path(shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "site"))
    workspace, save = Workspace.locate(embedder.workspace), Image.Image.save
    other = threading.Thread(target=open_source, args=(workspace, archive))
    lock, at_the_lock = unpacked.locked, threading.Event()

    def slow(*arguments: Any, **keywords: Any) -> None:
        if other.ident is None:
            other.start()
            assert at_the_lock.wait(60)
        save(*arguments, **keywords)

    def locked(folder: Path) -> AbstractContextManager[None]:
        if threading.current_thread() is other:
            at_the_lock.set()
        return lock(folder)

    monkeypatch.setattr(arrays, "usable_cores", lambda: 1)
    monkeypatch.setattr(unpacked, "locked", locked)
    monkeypatch.setattr(Image.Image, "save", slow)
    assert add_arrays(".tmp-digits", IMAGES, LABELS, embedder=embedder).embedded == 7
    other.join()
    root = Path(workspace.load(".tmp-digits").manifest.root)
    assert root.is_dir() and not root.name.startswith(".")


def test_a_folder_keeps_its_name(embedder: ImageEmbedder, engine: CountingEngine, tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    (folder / "a").mkdir(parents=True)
    Image.fromarray(IMAGES[0]).save(folder / "a" / "0.png")
    workspace = Workspace.locate(embedder.workspace)
    from extract.notebook.image_embedder import settings

    extract.extract(workspace, folder, *settings(embedder)[1:])
    with pytest.raises(UserError, match=r"data set 'digits' to be .*as before"):
        add_arrays("digits", IMAGES, LABELS, embedder=embedder)


def test_a_failed_write_leaves_nothing_behind(
    embedder: ImageEmbedder, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        with pytest.raises(UserError, match="no space left"):
            add_arrays("digits", IMAGES, LABELS, embedder=embedder)
    assert not list((Path(embedder.workspace or "") / "sources").iterdir())
    assert add_arrays("digits", IMAGES, LABELS, embedder=embedder).embedded == 7


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"images": IMAGES / 255}, r"received float64 for picture 0.*\(255 \* x\)"),
        ({"images": IMAGES[0]}, r"one picture"),
        ({"images": ["a.png"] * 7}, r"a str for picture 0.*command `extract`"),
        ({"images": []}, "received none"),
        ({"labels": LABELS[:6]}, r"each of 7 pictures, shape \(7,\), received \(6,\)"),
        ({"labels": np.array(LABELS)[:, None]}, r"received \(7, 1\). Pass labels.ravel\(\)"),
        ({"labels": np.eye(7)}, r"labels.argmax\(axis=1\)"),
        ({"labels": np.array(LABELS, float)}, r"received 7.0 for picture 0"),
        ({"labels": ["a", "b", None, "a", "a", "a", "a"]}, "received None for picture 2"),
        ({"labels": ["a", "b", "", "a", "a", "a", "a"]}, "received '' for picture 2"),
        ({"labels": ["a", "b\0b", "", "a", "a", "a", "a"]}, "for picture 1"),
        ({"labels": [True] * 7}, "received True"),
        ({"split": ["train"] * 6}, r"a split for each of 7 pictures, received shape \(6,\)"),
        ({"split": ["trian"] * 7}, "'train', 'training', 'val', .*received 'trian'"),
        ({"name": ""}, "Expected a name"),
    ],
)
def test_what_makes_no_data_set_is_refused(
    changed: dict[str, Any], told: str, embedder: ImageEmbedder
) -> None:
    given: dict[str, Any] = {"name": "digits", "images": IMAGES, "labels": LABELS, "embedder": embedder}
    with pytest.raises(UserError, match=told):
        add_arrays(**given | changed)
    assert not Path(embedder.workspace or "").exists()


def test_the_commands_work_on_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(["dark", "bright"], 12)
    images = rng.integers(0, 80, (24, 40, 40, 3), np.uint8) + np.where(labels == "dark", 0, 170)[
        :, None, None, None
    ].astype(np.uint8)
    place = str(tmp_path / "workspace")
    add_arrays("shades", images, labels, embedder=ImageEmbedder(workspace=place))
    assert cli.main(["fit-head", "--model", "ridge", "--no-curve", "--folds", "2", "--workspace", place]) == 0
    Image.fromarray(images[20]).save(tmp_path / "new.png")
    assert cli.main(["predict", str(tmp_path / "new.png"), "--workspace", place]) == 0
    assert "new.png,bright" in capsys.readouterr().out
    manifest = Workspace(Path(place)).load().manifest
    assert (
        cli.main(
            ["extract", str(Path(manifest.root, manifest.table)), "--name", "shades", "--workspace", place]
        )
        == 0
    )
    assert "24 files = 0 embedded + 24 cached" in capsys.readouterr().out
