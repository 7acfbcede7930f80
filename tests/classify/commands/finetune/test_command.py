"""`finetune` from the command line to the files it leaves, whole, killed and resumed."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from math import isfinite
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import cli
import coldframe
from cache.errors import UserError
from cache.manifest import VAL
from cache.workspace import Workspace
from classify.commands.finetune.activations import supply
from classify.commands.finetune.choosing import interpolation
from classify.commands.finetune.command import finetune
from classify.commands.finetune.network import step_length
from classify.commands.finetune.start import trials
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.commands.predict.command import predict
from classify.runs.folder import best_run
from classify.runs.head_file import load_head
from classify.runs.record import record_of
from classify.runs.scores import load
from classify.training import loop
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.settings import Decoding, Options

ROOT = Path(__file__).parents[4]
PARTS = ["train"] * 10 + ["val"] * 5 + ["test"] * 5
WORDS = ["--epochs", "4", "--views", "0", "--lr", "3e-5", "--batch-size", "8", "--patience", "9"]
GIVEN = {"epochs": 4, "views": 0, "lr": 3e-5, "batch_size": 8, "patience": 9, "top": 6}
WORDS_OF_OWN_RATE = [word for word in WORDS if word not in ("--lr", "3e-5")]
OWN_RATE = {name: value for name, value in GIVEN.items() if name != "lr"}
SMALL, KERAS = ["--top", "6", "--engine", "keras"], Options(engine="keras")


@pytest.fixture(scope="module")
def parted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stripes with a validation part of their own, extracted, and a head."""
    folder = tmp_path_factory.mktemp("parted")
    shutil.copytree(prepared / "stripes", folder / "stripes")
    with (folder / "parts.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for label in sorted((folder / "stripes").iterdir()):
            for picture, part in zip(sorted(label.iterdir()), PARTS, strict=True):
                writer.writerow([picture, label.name, part])
    workspace = Workspace.locate(folder / ".coldframe")
    backbone = Backbone.of("efficientnet_lite0", input_size=64, pooling="avg")
    extract(workspace, folder / "parts.csv", backbone, Decoding(), Options(engine="litert"))
    fit_heads(workspace, FitOptions(folds=3, curve=False))
    return folder


@pytest.fixture
def workspace(parted: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(parted, tmp_path / "work")
    return Workspace.locate(tmp_path / "work" / ".coldframe")


@pytest.fixture
def small(parted: Path, tmp_path: Path) -> Workspace:
    """The same parts on a small network."""
    return on_small_network(tmp_path / "small", parted / "parts.csv")


def on_small_network(folder: Path, source: Path, pooling: str = "avg") -> Workspace:
    """Embeddings by a network of three convolutions, for what needs no real one, and a head."""
    keras.utils.set_random_seed(0)
    parts = [
        keras.Input((32, 32, 3)),
        layers.Conv2D(8, 5, 4, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.DepthwiseConv2D(3, 2, padding="same"),  # from here on it trains
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2D(16, 1),
        layers.BatchNormalization(),
        layers.ReLU(),
    ]
    folder.mkdir()
    keras.Sequential(parts).save(folder / "small.keras")
    workspace = Workspace.locate(folder / ".coldframe")
    backbone = Backbone.of(f"keras:{folder / 'small.keras'}", pooling=pooling, preprocessing="unit")
    extract(workspace, source, backbone, Decoding(), KERAS)
    fit_heads(workspace, FitOptions(models=("logreg",), folds=3, curve=False, parts="all"))
    return workspace


def history(run: Path) -> np.ndarray:
    """Losses and accuracies by epoch."""
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    return np.array([[float(row[name] or "nan") for name in names] for row in rows])


def weights(model: Path) -> list[np.ndarray]:
    return keras.models.load_model(model, compile=False).get_weights()


@pytest.mark.figures
def test_whole_command_writes_a_model_that_predict_uses(
    workspace: Workspace, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--workspace", str(workspace.root)]
    extra = ["--checkpoint-every", "2", "--tensorboard", "--json"]
    ask, mixtures = interpolation.logits_of, list[int]()
    monkeypatch.setattr(interpolation, "logits_of", lambda *given: mixtures.append(1) or ask(*given))
    assert cli.main(["finetune", *WORDS, *extra, *words]) == 0
    assert len(mixtures) == 9  # head and best epoch have been judged
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    asked = (
        "run border trainable_parameters learning_rate view_size skipped head_val_accuracy alpha val_accuracy "
        "head_test_accuracy test_accuracy test_n ci_low ci_high epochs seconds_caching seconds_per_epoch"
    )
    assert set(asked.split()) <= result.keys()
    assert result["border"] == "block9_add" and result["epochs"] == 4 and result["test_n"] == 15
    assert "hand-off" in printed.err and "0.00 GB" in printed.err
    run = Path(result["run"])
    files = {path.name for path in run.iterdir()}
    expected = (
        "model.keras run.json report.md report.html history.csv curves.png interpolation.png confusion.png "
        "confusion_before.png changed.csv predictions.csv summary.txt diagram.svg epoch-002.keras "
        "epoch-004.keras tensorboard"
    )
    assert set(expected.split()) <= files and "checkpoint.h5" not in files
    assert result["val_accuracy"] >= result["head_val_accuracy"]
    scores = load(run)
    right, val = scores.probability.argmax(axis=1) == scores.label, scores.part == 1
    assert (right[val].mean(), right[~val].mean()) == (result["val_accuracy"], result["test_accuracy"])

    record = json.loads((run / "run.json").read_text())
    assert record["parameters"]["view_size"] == result["view_size"] == 64  # no smaller ones than that
    picture = next((Path(workspace.root).parent / "stripes" / "class 1").iterdir())
    found = predict(workspace, [picture], run=str(run))
    again = predict(workspace, [picture], run=record["start"]["run"])
    if result["alpha"] == 0:
        assert Path(workspace.state()["run"]["path"]) == Path(record["start"]["run"])
        np.testing.assert_allclose(found.predictions.probability, again.predictions.probability, atol=1e-4)
    else:
        assert best_run(workspace) == run.resolve()
    assert sum(found.predictions.probability[0]) == pytest.approx(1, abs=1e-4)


def test_killed_in_an_epoch_it_resumes_to_the_same_weights(
    small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also at a rate that was lowered, as where one step undoes what the head knows: here the least is too far.

    The third epoch skips pictures by what the first two know of them.
    """
    shutil.copytree(small.root.parent, tmp_path / "whole")
    whole = Workspace.locate(tmp_path / "whole" / ".coldframe")
    with monkeypatch.context() as patch:
        patch.setattr(step_length, "MOST", 1e-7)
        given = OWN_RATE | {"checkpoint_every": 4, "skip_easy": 0.4, "view_size": 16}
        uncut = finetune(whole, given, options=KERAS)

    words = [
        "finetune",
        *WORDS_OF_OWN_RATE,
        *SMALL,
        "--checkpoint-every",
        "4",
        "--skip-easy",
        "0.4",
        "--view-size",
        "16",
        "--workspace",
        str(small.root),
    ]
    # The same command line, killed at the first step of its third epoch.
    code = f"""
import os, signal, sys
import cli
import coldframe
from classify.commands.finetune.network import step_length
from classify.training import loop
step_length.MOST = 1e-7
step = loop._Progress.step
def mortal(self, done, loss):
    if self._label.startswith("epoch 3"):
        os.kill(os.getpid(), signal.SIGKILL)
    step(self, done, loss)
loop._Progress.step = mortal
sys.exit(cli.main({words!r}))
"""
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL and "epoch 2 of 4: loss" in child.stderr, child.stderr
    (run,) = small.runs.glob("*-finetune")
    assert not (run / "run.json").exists() and (run / "checkpoint.h5").exists()

    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("classify.commands.finetune.tuning.pace_of", None)  # it is not tried again
        done = finetune(small, {}, resume="", options=KERAS, say=said.append)
    assert done.run == run and any("going on" in line for line in said)
    assert done.learning_rate == uncut.learning_rate < 3e-4
    (line,) = [note for note in done.notes if "moves the head's answers" in note]
    assert line.startswith(f"learning rate {done.learning_rate:g}: ") and line.endswith("too far")
    assert line in said and line in uncut.notes and line in child.stderr
    assert done.view_size == 16 and "of 16 pixels" in (run / "report.md").read_text()
    assert done.skipped == uncut.skipped == 10 and "epochs 2 to 3 skip 10 of 25 pictures" in child.stderr
    assert "10 of 25 pictures in most epochs" in (run / "report.md").read_text()
    assert json.loads((run / "run.json").read_text())["result"]["learning_rate"] == done.learning_rate
    assert not any("epoch 1 of 4: loss" in line or "epoch 2 of 4: loss" in line for line in said)
    np.testing.assert_allclose(history(run), history(uncut.run), atol=1e-4)
    assert done.history.alpha == uncut.history.alpha and done.history.best == uncut.history.best
    for name in ("epoch-004.keras", "model.keras"):
        for a, b in zip(weights(run / name), weights(uncut.run / name), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
    with pytest.raises(UserError, match="none"):
        finetune(small, {}, resume="")


def test_from_a_head_on_stages_what_came_out_stands_beside_it(parted: Path, tmp_path: Path) -> None:
    workspace = on_small_network(tmp_path / "stages", parted / "parts.csv", "stages")
    (head,) = workspace.runs.iterdir()
    before, rows = workspace.state(), [len(store) for store in workspace.spaces()]
    said: list[str] = []
    outcome = finetune(workspace, GIVEN | {"epochs": 1}, run=str(head), options=KERAS, say=said.append)
    assert any("0.00 GB" in line for line in said) and any("hand-off" in line for line in said)
    assert [len(store) for store in workspace.spaces() if store.space.pooling[:5] != "layer"] == rows
    own = outcome.original
    assert own is not None and own.name == f"logreg of {head.name}" and "stage1" in own.takes[0]
    record = json.loads((outcome.run / "run.json").read_text())
    refitted, found = record["start"]["refitted"], record_of(head)
    assert refitted["inputs"][0]["parts"] == ["top"] == record["inputs"][0]["parts"]
    assert refitted["original_cv_accuracy"] == found["head"]["cv_accuracy"] == own.cv_accuracy
    assert (
        refitted["original_val_accuracy"] == own.val_accuracy == record["result"]["original"]["val_accuracy"]
    )
    # The parts are the data set's own: the head has not seen what validates, and answers itself.
    loaded = load_head(workspace, head)
    manifest = workspace.load().manifest
    val = manifest.select(manifest.split == VAL)
    said_of = loaded.head.predict(workspace.store_by_id(found["space"]["id"]).gather(val.key))
    assert own.val_accuracy == (said_of == np.array(val.classes)[val.label]).mean()
    assert own.test.accuracy == found["head"]["test_accuracy"]
    page, text = (outcome.run / "report.md").read_text("utf-8"), outcome.to_text()
    assert f"logreg of {head.name}" in page and "fitted again" in page and "its own head" in text
    better = any("is better than what came out" in note for note in outcome.notes)
    assert better == (own.val_accuracy > outcome.chosen[1]) == outcome.beaten
    answers = best_run(workspace) == outcome.run.resolve()
    assert answers == (outcome.history.alpha > 0 and not outcome.beaten)
    assert workspace.state()["space"] == before["space"]


def test_folds_decide_where_pictures_are_few(
    parted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_length, "MOST", 1e-7)
    monkeypatch.setattr(trials, "FOLDS", 2)
    workspace = on_small_network(tmp_path / "few", parted / "stripes")
    said: list[str] = []
    given = OWN_RATE | {"epochs": 2, "batch_size": 16}
    ticks = iter(range(0, 10_000, 100))
    outcome = finetune(workspace, given, options=KERAS, say=said.append, clock=lambda: float(next(ticks)))
    assert f"| Time | {next(ticks) - 100} s for the whole command" in (outcome.run / "report.md").read_text(
        "utf-8"
    )
    assert outcome.history.folds == 2 and outcome.history.val_n == 48
    assert any("in 2 folds" in line for line in said)
    assert outcome.history.epochs[1].learning_rate == pytest.approx(outcome.learning_rate)  # after the rise
    assert outcome.learning_rate < 3e-4
    assert json.loads((outcome.run / "chosen.json").read_text())["history"]["alpha"] == outcome.history.alpha


@pytest.mark.parametrize("how", [{"refit": True}, {"everything": True}, {"max_cache_gb": 0.0}])
def test_smaller_pictures_train_whatever_else_is_asked(small: Workspace, how: dict) -> None:
    said = list[str]()
    outcome = finetune(small, GIVEN | {"epochs": 1, "view_size": 16} | how, options=KERAS, say=said.append)
    assert outcome.view_size == 16 and not any("no smaller ones" in line for line in said)
    assert isfinite(outcome.history.epochs[1].loss) and outcome.after.n == 15


def test_live_frozen_part_trains_as_the_cached_one(small: Workspace) -> None:
    cached = finetune(small, GIVEN | {"epochs": 1, "dtype": "float32"})
    said: list[str] = []
    live = finetune(small, GIVEN | {"epochs": 1, "max_cache_gb": 0.0}, say=said.append)
    assert any("runs live" in line for line in said)
    np.testing.assert_allclose(history(live.run), history(cached.run), atol=2e-3)


def test_a_picture_that_is_gone_is_told_and_noted(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    original, said = supply.fill, list[str]()
    monkeypatch.setattr(supply, "fill", lambda *given: np.array([0, *original(*given)]))
    outcome = finetune(small, GIVEN | {"epochs": 1}, options=KERAS, say=said.append)
    note = "1 picture could not be read again: it neither trains nor validates"
    assert said.count(note) == 1 == outcome.notes.count(note)


def test_what_cannot_be_done_is_refused_with_advice(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as no_head_is_fitted:
        no_head_is_fitted.setattr("classify.commands.finetune.tuning.begin", None)
        with pytest.raises(UserError, match="141 layers"):
            finetune(workspace, {"top": 500})
        with pytest.raises(UserError, match="received 0"):
            finetune(workspace, {"top": 0})
    with pytest.raises(UserError, match="--resume alone"):
        finetune(workspace, {"epochs": 3}, resume="")
    with pytest.raises(UserError, match="none"):
        finetune(workspace, {}, resume="")
    with pytest.raises(UserError, match="fit-head"):
        finetune(Workspace.locate(tmp_path / "nothing"), {})
    shutil.rmtree(workspace.root / "spaces")
    with pytest.raises(UserError, match="extract"):
        finetune(workspace, {})


def test_interrupt_keeps_what_is_finished(
    small: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = loop._Progress.step

    def interrupted(progress: loop._Progress, done: int, loss: float) -> None:
        if "epoch 2" in progress._label:
            signal.raise_signal(signal.SIGINT)
        step(progress, done, loss)

    monkeypatch.setattr(loop._Progress, "step", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        assert cli.main(["finetune", *WORDS, *SMALL, "--workspace", str(small.root)]) == cli.INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)
    told = capsys.readouterr().err
    assert "epoch 1 of 4: loss" in told and "epoch 2 of 4: loss" not in told and "--resume" in told
    (run,) = small.runs.glob("*-finetune")
    assert (run / "checkpoint.h5").exists() and not (run / "run.json").exists()


def test_another_backend_trains_too(workspace: Workspace) -> None:
    """Keras on JAX: the same hand-off, nearly the same first epoch."""
    pytest.importorskip("jax")
    command = [
        sys.executable,
        str(ROOT / "cli.py"),
        "finetune",
        "--epochs",
        "1",
        "--views",
        "0",
        "--lr",
        "3e-5",
    ]
    command += ["--workspace", str(workspace.root), "--json"]
    found = []
    for backend in ("jax", "tensorflow"):
        environment = os.environ | {"KERAS_BACKEND": backend}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.append(history(Path(json.loads(done.stdout)["run"])))
    np.testing.assert_allclose(found[0], found[1], atol=5e-3)


def test_ctrl_c_is_answered_with_what_is_kept_and_how_to_go_on(
    small: Workspace, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    there = ["--workspace", str(small.root)]
    with monkeypatch.context() as patch:
        patch.setattr("classify.commands.finetune.tuning.choose_supply", interrupt)
        assert cli.main(["finetune", *WORDS, *SMALL, *there]) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("Stopped before the training began.")
    with monkeypatch.context() as patch:
        patch.setattr("classify.commands.finetune.choosing.choosing.train", interrupt)
        assert cli.main(["finetune", *WORDS, *SMALL, *there]) == 130
    lines = capsys.readouterr().err.splitlines()
    assert "`finetune --resume` goes on" in lines[-1]
    assert not any("run the same command" in line for line in lines)


def test_callbacks_of_ones_own_hear_it_and_may_fail_without_a_loss(
    small: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = f"told_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(
        "import keras\n"
        "class Told(keras.callbacks.Callback):\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        print('heard', epoch, sorted(logs))\n"
        "class Full(keras.callbacks.Callback):\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        assert epoch < 1, 'no room'\n"
        "def several(settings):\n"
        "    return [Told() for _ in range(settings.epochs - 3)]\n"
    )
    there = ["--workspace", str(small.root)]
    named = ["--callback", f"{module}:several", "--callback", f"{module}:Full"]
    assert cli.main(["finetune", *WORDS, *SMALL, *named, *there]) == cli.FAILED
    printed = capsys.readouterr()
    assert printed.out.count("heard") == 2 and "heard 0 ['accuracy', 'loss', 'lr', 'val_acc" in printed.out
    assert f"callback {module}:Full to come through on_epoch_end" in printed.err and "no room" in printed.err
    assert "finetune --resume" in printed.err
    (run,) = small.runs.glob("*-finetune")
    plan = json.loads((run / "plan.json").read_text())
    assert plan["callbacks"] == [f"{module}:several", f"{module}:Full"]
    assert (
        cli.main(["finetune", "--resume", *SMALL[2:], "--callback", f"{module}:several", *there]) == cli.DONE
    )
    printed = capsys.readouterr()
    assert "heard 2" in printed.out and "heard 1" not in printed.out
    assert f"{module}:Full was called before and is not now" in printed.err
    assert cli.main(["finetune", *WORDS, *SMALL, "--callback", "not_there:x", *there]) == cli.FAILED
    assert "Expected --callback not_there:x to name a function" in capsys.readouterr().err


def test_from_python_callbacks_are_objects_and_the_history_is_as_keras_has_it(small: Workspace) -> None:
    import keras

    kept = keras.callbacks.History()
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=10.0, patience=1)
    there = {"workspace": small.root, "quiet": True, "engine": "keras"}
    outcome = coldframe.finetune(**there, callbacks=[kept, stop], **GIVEN)
    assert outcome.history.epoch == kept.epoch == [0, 1]
    assert outcome.history.history == kept.history and len(kept.history["val_accuracy"]) == 2
    assert {**outcome.history.params, "verbose": 0} == kept.params == {"verbose": 0, "epochs": 4, "steps": 4}
    assert any("EarlyStopping asked for it in epoch 2" in note for note in outcome.notes)
    with pytest.raises(UserError, match=r"a keras.callbacks.Callback or a list of them, received type"):
        coldframe.finetune(**there, callbacks=[keras.callbacks.History])
    with pytest.raises(TypeError, match="callbacks"):
        coldframe.finetune(callbakcs=[])
