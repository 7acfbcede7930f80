"""Callbacks of the user's own hear what `Model.fit` would tell them, and end or spoil no more than their own turn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cache.errors import UserError
from classify.training.callbacks import Callbacks
from classify.training.checkpoint import Checkpoint
from classify.training.history import History
from classify.training.loop import Watch, read_weights, train
from classify.training.settings import Settings
from tests.classify.training.test_loop import CODES, SETTINGS, small_top

HEARD = ("train_begin", "epoch_begin", "train_batch_begin", "train_batch_end", "epoch_end", "train_end")


class Recorder(keras.callbacks.Callback):
    """Writes down what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple] = []

    def hear(self, name: str, *facts: Any) -> None:
        *numbers, logs = [fact for fact in facts if fact is not None]
        self.heard.append((name, tuple(numbers), dict(logs)))

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_") and name[3:] in HEARD:
            return lambda *facts, logs=None: self.hear(name, *facts, logs)
        return super().__getattribute__(name)


class Halting(keras.callbacks.Callback):
    def __init__(self, event: str, number: int) -> None:
        super().__init__()
        setattr(self, event, self.halt)
        self.number = number

    def halt(self, number: int, logs: dict) -> None:
        self.model.stop_training = number == self.number


class Failing(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if epoch == 1:
            raise RuntimeError("the\nlogbook is full")


def called(*callbacks: Any) -> Watch:
    return Watch(callbacks=Callbacks.made(callbacks, SETTINGS))


def test_they_hear_what_fit_tells() -> None:
    top, rows = small_top()
    mine, keras_own = Recorder(), Recorder()
    trained = train(top, rows, rows, SETTINGS, watch=called(mine))
    y = np.eye(3, dtype=np.float32)[CODES]
    top.fit(rows.activations.take(rows.rows, rows.rows), y, 8, 4, verbose=0, callbacks=[keras_own])
    assert [event[:2] for event in mine.heard] == [event[:2] for event in keras_own.heard]
    assert mine.params["epochs"] == keras_own.params["epochs"] == 4
    assert mine.params["steps"] == keras_own.params["steps"] == 3 and mine.model is top
    steps = [logs for name, _, logs in mine.heard if name == "on_train_batch_end"]
    ends = [logs for name, _, logs in mine.heard if name == "on_epoch_end"]
    assert [*ends[0]] == ["loss", "accuracy", "val_loss", "val_accuracy", "lr"]
    for epoch, last, end in zip(trained.epochs[1:], steps[2::3], ends, strict=True):
        assert last == {"loss": epoch.loss, "accuracy": epoch.accuracy}
        assert end["val_loss"] == epoch.val_loss and end["lr"] == epoch.learning_rate
    assert mine.heard[-1] == ("on_train_end", (), ends[-1])


def test_nothing_changes_where_they_only_listen() -> None:
    weights = []
    for given in ([], [Recorder()]):
        top, rows = small_top()
        train(top, rows, rows, SETTINGS, watch=called(*given))
        weights.append(read_weights(top))
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


def test_where_nothing_validates_there_are_no_figures_of_it() -> None:
    top, rows = small_top()
    mine = Recorder()
    train(top, rows, None, replace(SETTINGS, epochs=1), watch=called(mine))
    assert [*mine.heard[-1][2]] == ["loss", "accuracy", "lr"]


@pytest.mark.parametrize(
    ("event", "number", "epochs", "steps"), [("on_epoch_end", 1, 2, 6), ("on_train_batch_end", 1, 1, 2)]
)
def test_one_may_end_the_training(event: str, number: int, epochs: int, steps: int) -> None:
    top, rows = small_top()
    kept, mine = list[Checkpoint](), Recorder()
    watch = replace(called(Halting(event, number), mine), keep=kept.append)
    trained = train(top, rows, rows, SETTINGS, watch=watch)
    assert len(trained.epochs) - 1 == epochs == len(kept)
    assert [name for name, *_ in mine.heard].count("on_train_batch_end") == steps
    assert mine.heard[-1][0] == "on_train_end"
    assert trained.stopped == f"{__name__}:Halting asked for it in epoch {epochs}"
    again = train(top, rows, rows, SETTINGS, watch=called())  # it knows nothing of it any more
    assert len(again.epochs) == 5


def test_keras_own_callbacks_work(tmp_path: Path) -> None:
    top, rows = small_top()
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    patient = keras.callbacks.EarlyStopping("loss", min_delta=10.0, patience=1)
    rates = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
    settings = replace(SETTINGS, schedule="constant")
    trained = train(top, rows, rows, settings, watch=called(log, patient, rates))
    assert len(trained.epochs) == 3
    assert trained.epochs[1].learning_rate == pytest.approx(settings.learning_rate / 2)
    header, line, _ = (tmp_path / "log.csv").read_text().split()
    assert header == "epoch,accuracy,loss,lr,val_accuracy,val_loss"
    assert float(line.split(",")[2]) == pytest.approx(trained.epochs[1].loss)


def test_what_one_raises_is_told_with_its_name_and_the_epoch_is_kept() -> None:
    top, rows = small_top()
    kept = list[Checkpoint]()
    watch = replace(called(Failing()), keep=kept.append)
    with pytest.raises(
        UserError, match=r"callback .*:Failing .* on_epoch_end; .*RuntimeError: the logbook"
    ) as told:
        train(top, rows, rows, SETTINGS, watch=watch)
    assert "finetune --resume" in str(told.value) and __file__ in str(told.value)
    assert [epoch.number for epoch in kept[-1].epochs] == [0, 1, 2]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module of the user's, a name of its own each, into the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(code: str) -> str:
        name = f"mine_{abs(hash((code, str(tmp_path))))}"
        (tmp_path / f"{name}.py").write_text(f"import keras\n{code}\n")
        return name

    return write


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("def make():\n    return keras.callbacks.TerminateOnNaN()", 1),
        ("def make():\n    return [keras.callbacks.TerminateOnNaN(), keras.callbacks.Callback()]", 2),
        ("def make(settings):\n    return [keras.callbacks.Callback()] * settings.epochs", 4),
        ("def make(settings=None):\n    assert settings is None\n    return keras.callbacks.Callback()", 1),
        ("class make(keras.callbacks.Callback):\n    pass", 1),
        ("make = keras.callbacks.Callback()", 1),
        ("def make():\n    return []", 0),
    ],
)
def test_a_factory_makes_one_or_several(own: Callable[[str], str], code: str, count: int) -> None:
    name = f"{own(code)}:make"
    made = Callbacks.made([name], SETTINGS)
    assert len(made._named) == count and made.names == [name] * bool(count)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def make():\n    return 3", "a keras.callbacks.Callback or a list of them, received int"),
        ("def make():\n    return ['a']", "received str"),
        ("def make():\n    raise KeyError('x')", "your own code.*KeyError"),
        ("def make(one, two):\n    pass", "your own code.*TypeError"),
        ("import not_there", "your own code.*not_there"),
        ("other = 1", "Expected --callback .*:make to name a function.*no attribute"),
    ],
)
def test_what_is_no_callback_is_refused(own: Callable[[str], str], code: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Callbacks.made([f"{own(code)}:make"], SETTINGS)


@pytest.mark.parametrize("name", ["nothing_here:make", "nothing_here", ":", "a:"])
def test_a_module_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="Expected --callback"):
        Callbacks.made([name], SETTINGS)
    with pytest.raises(UserError, match="received int"):
        Callbacks.made([1], SETTINGS)


def test_a_history_behaves_as_that_of_keras() -> None:
    top, rows = small_top()
    trained = train(top, rows, rows, Settings(epochs=2, batch_size=8, views=0))
    history = History(trained.epochs, 2, [], 1.0, 24, planned=2, steps=trained.steps)
    y = np.eye(3, dtype=np.float32)[CODES]
    x = rows.activations.take(rows.rows, rows.rows)
    expected = top.fit(x, y, 8, 2, verbose=0, validation_data=(x, y))
    assert history.epoch == expected.epoch == [0, 1]
    assert history.params["epochs"] == expected.params["epochs"]
    assert (
        history.params["steps"] == expected.params["steps"]
        and history.params.keys() >= expected.params.keys()
    )
    assert {*expected.history} <= {*history.history}
    assert history.history["val_accuracy"] == [epoch.val_accuracy for epoch in trained.epochs[1:]]
    assert History(trained.epochs[:1], 0, [], 0.0, 24).history == {}
