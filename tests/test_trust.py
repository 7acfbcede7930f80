"""A folder from elsewhere runs no code: each test is an attack that ran before, and would leave a file if it did."""

import io
import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import joblib
import pytest

import cli
from cache.space import Space
from cache.workspace import Workspace
from extract.pictures.decoding import DECODERS
from tests.classify.commands.finetune.conftest import write_pictures

ROOT = Path(__file__).parents[1]


@pytest.fixture
def boom(tmp_path: Path) -> Path:
    """The file that hostile code leaves."""
    return tmp_path / "boom"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A downloaded folder of pictures, which is the current one; its user has trusted nothing yet."""
    monkeypatch.setenv("COLDFRAME_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COLDFRAME_WORKSPACE", raising=False)
    write_pictures(tmp_path / "download" / "pictures", per_class=2)
    monkeypatch.chdir(tmp_path / "download")
    return tmp_path / "download"


class Bomb:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.touch, (self.path,)


def space_of(backbone: str) -> Space:
    return Space(
        backbone=backbone,
        weights="0" * 64,
        pooling="avg",
        input_size=32,
        resize="crop",
        preprocessing="x / 255",
        decoder=DECODERS["fast"],
    )


def bring(space: Space, **facts: Any) -> Path:
    """Write a run of fit-head and a workspace that calls it the best and its head its own."""
    workspace = Workspace.locate().create()
    workspace.store(space)
    run = workspace.runs / "001-fit-head"
    run.mkdir(parents=True)
    record = {"command": "fit-head", "space": {"id": space.id, "json": space.to_json()}, **facts}
    (run / "run.json").write_text(json.dumps({"format": 1, "dataset": "d", "root": "/", **record}))
    (workspace.root / "current.json").write_text(json.dumps({"run": {"path": str(run)}, "space": space.id}))
    (workspace.root / "heads").mkdir()
    return run


@pytest.mark.parametrize("words", [["predict", "pictures"], ["finetune"], ["export", "--to", "keras"]])
def test_a_head_and_its_ledger_from_elsewhere(
    here: Path, boom: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    buffer = io.BytesIO()
    joblib.dump(Bomb(boom), buffer)
    digest = sha256(buffer.getvalue()).hexdigest()
    run = bring(space_of("efficientnet_lite0"), head={"name": "logreg", "sha256": digest})
    (run / "head.joblib").write_bytes(buffer.getvalue())
    (here / ".coldframe" / "heads" / digest).touch()
    assert cli.main(words) == 1
    assert not boom.exists()
    told = capsys.readouterr().err
    assert "pass --trust if you know where it comes from" in told and "counts no more" in told


def hostile_model(folder: Path, boom: Path) -> str:
    """Export a SavedModel that writes a file whenever it is run, its tracing for a space's name included."""
    import tensorflow as tf

    class Hostile(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 32, 32, 3), tf.float32)])
        def __call__(self, pixels: tf.Tensor) -> tf.Tensor:
            with tf.control_dependencies([tf.io.write_file(str(boom), "x")]):
                return tf.reduce_mean(pixels, axis=(1, 2))

    tf.saved_model.save(Hostile(), str(folder))
    return f"savedmodel:{folder}"


def kept(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note what TensorFlow is asked to load."""
    import tensorflow as tf

    asked: list[Any] = []
    load = tf.saved_model.load
    monkeypatch.setattr(tf.saved_model, "load", lambda *a, **k: [asked.append(a), load(*a, **k)][1])
    return asked


@pytest.mark.parametrize(
    "backbone", ["efficientnet_lite0", "savedmodel:0123456789ab", "keras:own-0123456789ab"]
)
@pytest.mark.parametrize("address", [False, True])
def test_an_origin_that_names_a_model(
    here: Path, boom: Path, backbone: str, address: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network of the table the origin's model is not looked at; any other is loaded if the user named it."""
    from extract.embedding.spaces import backbone_of

    model = "savedmodel:http://127.0.0.1:1/evil.tar.gz" if address else hostile_model(here / "evil", boom)
    asked = kept(monkeypatch)
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: asked.append(a))
    store = Workspace.locate().store(space_of(backbone))
    store.record_origin(model=model, weights="pretrained")
    if ":" not in backbone:
        assert backbone_of(store).location == ""
    else:
        told = (
            "that you named before" if backbone.startswith("savedmodel") else "where the model of keras:own"
        )
        with pytest.raises(cli.UserError, match=told):
            backbone_of(store)
    assert not asked and not boom.exists()


def test_a_model_that_the_user_named_is_taken_from_the_workspace(
    here: Path, boom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from extract.backbones.backbone import Backbone
    from extract.embedding.spaces import backbone_of

    model = hostile_model(here / "own", boom)
    name = Backbone.of(model).name  # as --backbone does
    store = Workspace.locate().store(replace(space_of(name), preprocessing="x / 255"))
    store.record_origin(model=model, weights="pretrained")
    assert backbone_of(store).location == model
    monkeypatch.setenv("COLDFRAME_STATE", str(here / "another"))
    with pytest.raises(cli.UserError, match=r"extract FOLDER/ --backbone savedmodel:.*--trust"):
        backbone_of(store)
    assert backbone_of(store, trust=True).location == model
    assert backbone_of(store).location == model  # asked once


def test_a_copied_workspace_uses_its_own_runs(tmp_path: Path) -> None:
    from classify.runs.folder import best_run, place_of, relocated

    original = Workspace(tmp_path / "original" / ".coldframe").create()
    run = original.new_run("fit-head")
    (run / "run.json").write_text('{"head": {"sha256": "a"}}')
    assert place_of(run, original.runs) == run.name
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    copy = Workspace(tmp_path / "copy" / ".coldframe")
    for written in (run.name, str(run)):  # as of now, and as older versions wrote it
        copy.remember(run={"path": written})
        assert best_run(copy) == copy.runs / run.name
        assert relocated(written, copy.runs) == copy.runs / run.name
    assert relocated(str(run), copy.runs, "a") == copy.runs / run.name
    (copy.runs / run.name / "run.json").write_text('{"head": {"sha256": "b"}}')  # another run of that name
    assert relocated(str(run), copy.runs, "a") == run


DAMAGES = [
    "[" * 10_000,
    "[]",
    "null",
    '{"head": []}',
    '{"command": ["fit-head"]}',
    '{"command": "fit-head", "head": {"sha256": 1}}',
    '{"command": "finetune", "space": "x", "model": {"file": "m", "sha256": "0"}}',
    '{"command": "finetune", "model": {"file": 3}}',
    '{"command": "finetune", "model": {"file": "m"}}',
    '{"command": "fit-head", "format": "new"}',
    '{"command": "fit-head", "content_sha256": "0"}',
]


@pytest.mark.parametrize("words", [["predict", "pictures"], ["finetune"], ["export", "--to", "keras"]])
@pytest.mark.parametrize("number", [*range(len(DAMAGES)), "fifo"])
def test_a_run_that_is_damaged(
    here: Path, words: list[str], number: int | str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = bring(space_of("efficientnet_lite0"))
    (run / "head.joblib").write_bytes(b"")
    if number == "fifo":
        (run / "run.json").unlink()
        os.mkfifo(run / "run.json")
    else:
        (run / "run.json").write_text(DAMAGES[int(number)])
    assert cli.main(words) == 1
    assert "error: Expected" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[" * 10_000, "[]", "{", '{"model": []}', '{"max_pixels": "many"}', "fifo"])
def test_an_origin_that_is_damaged(here: Path, text: str) -> None:
    store = Workspace.locate().store(space_of("efficientnet_lite0"))
    if text == "fifo":
        os.mkfifo(store.folder / "origin.json")
    else:
        (store.folder / "origin.json").write_text(text)
    with pytest.raises(cli.UserError, match=r"origin\.json what made the embeddings.*Delete it"):
        store.origin()
