"""Training the top alone is training the whole network; a killed training goes on as if nothing had happened."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import log_softmax

from cache.errors import UserError
from classify.commands.finetune.network.border import Border, find_border
from classify.commands.finetune.network.top import build_top, read_head
from classify.models.linear import LinearHead
from classify.training.batches import TrainingRows
from classify.training.callbacks import Callbacks
from classify.training.checkpoint import Checkpoint
from classify.training.history import Epoch
from classify.training.loop import Watch, logits_of, read_weights, train, write_weights
from classify.training.optimizers import make_optimizer
from classify.training.settings import LEARNING_RATES, Settings
from classify.training.skipping import Skipping
from classify.training.validation import judge
from extract.backbones.backbone import Backbone
from extract.backbones.network import build_backbone

N, CLASSES = 24, 3
CODES = np.arange(N) % CLASSES
BACKBONE = Backbone.of("efficientnet_lite0", input_size=64, pooling="avg")
SETTINGS = Settings(epochs=4, batch_size=8, views=0, lr=1e-3)


class Fixed:
    """Activations held in memory."""

    def __init__(self, x: np.ndarray) -> None:
        self._x = x

    def take(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        return self._x[rows]


def samples(x: np.ndarray, codes: np.ndarray = CODES) -> TrainingRows:
    return TrainingRows(Fixed(x), np.arange(len(x)), codes, CLASSES)


@cache
def pictures() -> np.ndarray:
    """Preprocessed pictures whose brightness tells the class, more or less."""
    random = np.random.default_rng(0)
    return (random.normal(size=(N, 64, 64, 3)) * 0.5 + (CODES - 1)[:, None, None, None] * 0.2).astype(
        np.float32
    )


def head(width: int) -> LinearHead:
    kernel = np.random.default_rng(0).normal(size=(width, CLASSES)).astype(np.float32) / 30
    return LinearHead("none", kernel, np.zeros(CLASSES, np.float32), ("a", "b", "c"))


def small() -> keras.Model:
    """Two convolutions and a normalisation: for what needs no real network."""
    layer_list = [
        layers.Conv2D(4, 3, name="low"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2D(6, 3, name="high"),
    ]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layer_list])
    random = np.random.default_rng(1)
    model.set_weights(
        [random.uniform(0.1, 1, w.shape) * random.choice([1, 1], w.shape) for w in model.get_weights()]
    )
    return model


def small_top() -> tuple[keras.Model, TrainingRows]:
    network = small()
    border = find_border(network, from_layer="high")
    bottom = keras.Model(network.inputs, network.get_layer(border.layer).output)
    x = np.asarray(bottom(pictures()[:, :16, :16]))
    return build_top(network, border, BACKBONE, head(6)), samples(x)


@cache
def real() -> tuple[keras.Model, Border, list[np.ndarray], np.ndarray]:
    """The front of a real network, a border in it, its weights, which whoever trains it puts back, and activations."""
    whole = build_backbone(BACKBONE)
    network = keras.Model(whole.input, whole.get_layer("block4_add").output)
    border = find_border(network, top=20)
    bottom = keras.Model(network.inputs, network.get_layer(border.layer).output)
    return network, border, network.get_weights(), np.asarray(bottom(pictures()))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_cached_activations_train_to_the_weights_of_the_whole_network(optimizer: str) -> None:
    """One epoch on the same batches: the top on activations against the whole network, its bottom frozen."""
    settings = replace(SETTINGS, epochs=1, optimizer=optimizer, lr=None)
    network, border, before, activations = real()
    network.set_weights(before)
    top = build_top(network, border, BACKBONE, head(40))
    train(top, samples(activations), None, settings)
    after = network.get_weights()

    network.set_weights(before)
    for layer in network.layers:
        layer.trainable = layer.name in border.trainable
    classifier = layers.Dense(CLASSES)
    model = keras.Model(network.input, classifier(layers.GlobalAveragePooling2D()(network.output)))
    classifier.set_weights([head(40).kernel, head(40).bias])
    steps = N // settings.batch_size
    model.compile(
        make_optimizer(settings, model, steps), keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    for batch in samples(pictures()).epoch(1, settings.batch_size, settings.seed):
        model.train_on_batch(batch.x, batch.y)

    for ours, theirs, variable in zip(after, network.get_weights(), network.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg=variable.path)
    assert sum(not np.array_equal(a, b) for a, b in zip(after, before, strict=True)) == len(border.trainable)
    np.testing.assert_allclose(read_head(top)[0], classifier.get_weights()[0], atol=1e-4)


class Traced(layers.Layer):
    """Lists the sizes of batches that it is laid out for, in training or not."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = list[tuple[int | None, bool | None]]()

    def call(self, x: object, training: bool | None = None) -> object:
        self.sizes.append((x.shape[0], training))  # type: ignore[attr-defined]
        return x


@pytest.mark.parametrize("trains", [False, True])
def test_batches_of_two_sizes_are_filled_up_where_no_picture_sees_another(trains: bool) -> None:
    """Keras trains on them as they are to the same weights; statistics of a batch would count a picture twice."""
    ends = []
    for filled in (True, False):
        inputs, traced = keras.Input((14, 14, 4)), Traced()
        norm = layers.BatchNormalization(trainable=trains)
        x = layers.GlobalAveragePooling2D()(norm(layers.Conv2D(4, 3, kernel_initializer="ones")(inputs)))
        model = keras.Model(inputs, layers.Dense(CLASSES, kernel_initializer="zeros")(traced(x)))
        x = np.random.default_rng(0).normal(size=(23, 14, 14, 4)).astype(np.float32)
        data, settings = samples(x, CODES[:23]), replace(SETTINGS, epochs=1)
        traced.sizes.clear()
        if filled:
            train(model, data, data, settings)
        else:
            loss = keras.losses.CategoricalCrossentropy(from_logits=True)
            model.compile(make_optimizer(settings, model, 3), loss)
            for batch in data.epoch(1, settings.batch_size, settings.seed):
                model.train_on_batch(batch.x, batch.y, sample_weight=batch.weight)
        ends.append(read_weights(model))
        if filled:
            sizes = [size for size, training in traced.sizes if training]
            assert sizes == ([8, None] if trains else [8])
    for ours, plain in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-6)


def test_what_validates_is_laid_out_once_and_answered_in_order() -> None:
    traced, random = Traced(), np.random.default_rng(0)
    inputs = keras.Input((1, 1, 4))
    model = keras.Model(inputs, layers.Flatten()(traced(inputs)))
    traced.sizes.clear()
    x = random.normal(size=(23, 1, 1, 4)).astype(np.float32)
    assert np.array_equal(logits_of(model, samples(x, CODES[:23]), 3), x[:, 0, 0])
    assert len(traced.sizes) == 1


def test_no_statistic_of_any_normalisation_moves() -> None:
    inside = keras.Input((14, 14, 4))
    inner = keras.Model(
        inside, layers.BatchNormalization(name="inner_norm")(layers.Conv2D(4, 1, name="inner_conv")(inside))
    )
    pixels = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, name="stem")(pixels)
    x = layers.BatchNormalization(name="alone")(layers.ReLU()(inner(x)))
    network = keras.Model(
        pixels, layers.BatchNormalization(name="last_norm")(layers.Conv2D(6, 3, name="last")(x))
    )
    border = find_border(network, everything=True)
    top = build_top(network, border, replace(BACKBONE, input_size=16), head(6))
    norms = [inner.get_layer("inner_norm"), network.get_layer("alone"), network.get_layer("last_norm")]
    before = [norm.get_weights() for norm in norms]
    kernels = [np.array(network.get_layer(name).kernel) for name in ("stem", "last")]
    train(top, samples((pictures()[:, :16, :16] * 60 + 128).clip(0, 255).astype(np.uint8)), None, SETTINGS)
    for norm, old in zip(norms, before, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(norm.get_weights(), old, strict=True)), norm.name
    for name, kernel in zip(("stem", "last"), kernels, strict=True):
        assert not np.array_equal(network.get_layer(name).kernel, kernel)


@pytest.mark.parametrize("optimizer", list(LEARNING_RATES))
def test_resumed_training_ends_at_the_same_weights(optimizer: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, optimizer=optimizer, layer_decay=0.5, label_smoothing=0.1)
    settings = replace(settings, **({"mixup": 0.3} if optimizer == "sgd" else {"skip_easy": 0.3}))
    kept: list[Checkpoint] = []
    model, data = small_top()
    whole = train(model, data, data, settings, watch=Watch(keep=kept.append))
    end = read_weights(model)
    fresh, _ = small_top()
    kept[1].save(tmp_path / "checkpoint.h5")
    again = train(fresh, data, data, settings, resumed=Checkpoint.load(tmp_path / "checkpoint.h5"))
    assert len(again.epochs) == len(whole.epochs) == 5 and again.best_epoch == whole.best_epoch
    for a, b in zip(read_weights(fresh), end, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(again.best, whole.best, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert [e.val_loss for e in again.epochs] == pytest.approx([e.val_loss for e in whole.epochs], abs=1e-5)


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize(
    ("schedule", "lr", "lags"), [("cosine", 0.001, False), ("cosine", 0.05, True), ("constant", 0.05, True)]
)
def test_an_epoch_is_an_average_and_the_last_the_better_of_it_and_the_weights(
    validated: bool, schedule: str, lr: float, lags: bool
) -> None:
    """Averaged by hand after each step; the training itself goes on from the weights of its last step.

    At a constant rate the average counts, also where the last weights happen to be better.
    """
    model, data = small_top()
    steps: list[list[np.ndarray]] = []
    told: list[list[np.ndarray]] = []

    class Spy(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            steps.append(read_weights(model))

    settings = replace(SETTINGS, lr=lr, average=1.0, schedule=schedule)
    watch = Watch(
        epoch=lambda model, epoch: told.append(read_weights(model)), callbacks=Callbacks([("spy:spy", Spy())])
    )
    trained = train(model, data, data if validated else None, settings, watch=watch)
    assert all(np.array_equal(a, b) for a, b in zip(read_weights(model), steps[-1], strict=True))
    span, average = trained.steps * settings.average, steps[0]
    for number, now in enumerate(steps, 1):
        if number > 1:
            average = [(1 - 1 / span) * a + b / span for a, b in zip(average, now, strict=True)]
        if number % trained.steps == 0:
            place, expected = number // trained.steps, average
            losses = []
            for weights in (average, now):
                write_weights(model, weights)
                losses.append(judge(logits_of(model, data, settings.batch_size), data.codes).calibrated_loss)
            last = place == settings.epochs
            if last and validated:
                assert lags == (losses[1] < losses[0])
            if last and validated and lags and schedule == "cosine":
                expected = now
            for a, b in zip(expected, told[place - 1], strict=True):
                np.testing.assert_allclose(a, b, atol=1e-5)
            epoch = trained.epochs[place]
            assert epoch.averaged == (expected is average)
            if validated:
                assert epoch.calibrated_loss == pytest.approx(losses[expected is now], abs=1e-5)
    for a, b in zip(trained.best, told[trained.best_epoch - 1], strict=True):
        assert np.array_equal(a, b)


def test_an_epoch_that_skips_has_as_many_steps_and_knows_each_pictures_loss() -> None:
    """At a learning rate of nothing the weights stay the head's, so that each loss is known."""
    model, data = small_top()
    data = replace(data, rows=data.rows[:23], codes=data.codes[:23])
    kept: list[Checkpoint] = []
    lines: list[tuple[int, str]] = []
    settings = replace(SETTINGS, lr=1e-12, batch_size=4, skip_easy=0.5, label_smoothing=0.2, epochs=4)
    watch = Watch(keep=kept.append, step=lambda pictures, words: lines.append((pictures, words)))
    trained = train(model, data, data, settings, watch=watch)
    expected = -log_softmax(np.asarray(trained.head_logits), axis=1)[np.arange(23), data.codes]
    for checkpoint in kept:
        np.testing.assert_allclose(checkpoint.losses, expected, atol=1e-5)
    counts = [[n for n, words in lines if f"epoch {number} of" in words] for number in range(1, 5)]
    assert [len(each) for each in counts] == [trained.steps] * 4 == [6] * 4
    assert [sum(each) for each in counts] == [23, 11, 11, 23]
    shares = Skipping.of(23, settings).shares(2, expected, settings.seed)
    assert shares is not None
    smooth = np.eye(CLASSES)[data.codes] * 0.8 + 0.2 / CLASSES
    own = -(smooth * log_softmax(np.asarray(trained.head_logits), axis=1)).sum(axis=1)
    assert trained.epochs[1].loss == pytest.approx(own.mean(), abs=1e-5)
    assert trained.epochs[2].loss == pytest.approx((shares * own).sum() / 11, abs=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_an_epoch_tells_losses_only_where_some_are_skipped(share: float) -> None:
    model, data = small_top()
    train(model, data, data, replace(SETTINGS, skip_easy=share))
    assert ("losses" in [metric.name for metric in model._compile_metrics.metrics]) == bool(share)


def test_a_checkpoint_without_averages_is_refused() -> None:
    """As one of an older version, whose optimizer averaged nothing."""
    model, data = small_top()
    kept: list[Checkpoint] = []
    train(model, data, data, replace(SETTINGS, average=0.0, epochs=2), watch=Watch(keep=kept.append))
    with pytest.raises(UserError, match=r"average weights .* older version .* without --resume"):
        train(small_top()[0], data, data, SETTINGS, resumed=kept[0])


@pytest.mark.parametrize("losses", [None, np.zeros(5)])
def test_an_epoch_skips_none_while_losses_are_unknown(losses: np.ndarray | None) -> None:
    """As where a picture that was lost can be read again: then there are more than the checkpoint knows."""
    model, data = small_top()
    kept: list[Checkpoint] = []
    seen: list[tuple[int, str]] = []
    settings = replace(SETTINGS, skip_easy=0.5)
    train(model, data, data, settings, watch=Watch(keep=kept.append))
    assert kept[0].losses is not None and np.isfinite(kept[0].losses).all()
    fresh, _ = small_top()
    watch = Watch(keep=kept.append, step=lambda pictures, words: seen.append((pictures, words)))
    train(fresh, data, data, settings, resumed=replace(kept[0], losses=losses), watch=watch)
    counts = [sum(n for n, words in seen if f"epoch {number} of" in words) for number in range(2, 5)]
    assert counts == [N, N // 2, N] and np.isfinite(kept[-1].losses).all()


@pytest.mark.parametrize(("size", "share"), [(1, 0.375), (2, 0.7), (64, 0.7)])
def test_no_batch_is_empty_where_most_pictures_are_skipped(size: int, share: float) -> None:
    model, data = small_top()
    trained = train(model, data, data, replace(SETTINGS, batch_size=size, skip_easy=share))
    assert len(trained.epochs) == 5 and trained.stopped == ""


def test_a_checkpoint_has_losses_only_where_some_are_skipped(tmp_path: Path) -> None:
    model, data = small_top()
    kept: list[Checkpoint] = []
    train(model, data, data, SETTINGS, watch=Watch(keep=kept.append))
    kept[0].save(tmp_path / "checkpoint.h5")
    assert Checkpoint.load(tmp_path / "checkpoint.h5").losses is None


def test_best_epoch_is_the_trained_one_with_the_lowest_calibrated_loss() -> None:
    model, data = small_top()
    weights: dict[int, Sequence[np.ndarray]] = {}
    watch = Watch(epoch=lambda model, epoch: weights.setdefault(epoch.number, read_weights(model)))
    trained = train(model, data, data, replace(SETTINGS, lr=0.3, schedule="constant"), watch=watch)
    losses = {epoch.number: epoch.calibrated_loss for epoch in trained.epochs[1:]}
    assert trained.best_epoch == min(losses, key=losses.__getitem__)
    for end, logits in ((trained.head, trained.head_logits), (trained.best, trained.best_logits)):
        write_weights(model, end)
        assert np.array_equal(logits, logits_of(model, data, SETTINGS.batch_size))
    for a, b in zip(trained.best, weights[trained.best_epoch], strict=True):
        assert np.array_equal(a, b)


def test_patience_ends_training_early() -> None:
    model, data = small_top()
    wrong = samples(data.activations.take(np.arange(N), np.zeros(N, int)), (CODES + 1) % CLASSES)
    lines: list[str] = []
    trained = train(
        model, data, wrong, replace(SETTINGS, epochs=30, patience=2), watch=Watch(say=lines.append)
    )
    assert len(trained.epochs) - 1 == trained.best_epoch + 2 < 30
    assert "2 epochs" in trained.stopped and any("stopped" in line for line in lines)


def test_a_loss_that_is_no_number_stops_with_advice() -> None:
    model, data = small_top()
    broken = data.activations.take(np.arange(N), np.zeros(N, int)).copy()
    broken[3] = np.nan
    trained = train(model, samples(broken), data, SETTINGS)
    assert len(trained.epochs) == 1 and trained.best_epoch == 0
    assert "--lr" in trained.stopped
    for a, b in zip(trained.best, trained.head, strict=True):
        assert np.array_equal(a, b) and np.isfinite(a).all()


def test_layer_decay_slows_the_lower_layers() -> None:
    moves = []
    for decay in (1.0, 0.1):
        network = small()
        border = find_border(network, everything=True)
        model = build_top(network, border, replace(BACKBONE, input_size=16), head(6))
        before = [np.array(network.get_layer(name).kernel) for name in ("low", "high")]
        train(
            model,
            samples((pictures()[:, :16, :16] * 60 + 128).clip(0, 255).astype(np.uint8)),
            None,
            replace(SETTINGS, epochs=1, layer_decay=decay, schedule="constant"),
        )
        after = [np.array(network.get_layer(name).kernel) for name in ("low", "high")]
        moves.append([np.abs(a - b).mean() for a, b in zip(after, before, strict=True)])
    assert moves[1][0] == pytest.approx(0.01 * moves[0][0], rel=0.5)  # two layers below the head: 0.1 squared
    assert moves[1][1] == pytest.approx(0.1 * moves[0][1], rel=0.5)


def test_checkpoint_survives_a_full_disk_and_damage(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    model, data = small_top()
    kept: list[Checkpoint] = []
    train(model, data, data, SETTINGS, watch=Watch(keep=kept.append))
    path = tmp_path / "checkpoint.h5"
    kept[0].save(path)

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(UserError, match="space"):
            kept[1].save(path)
    loaded = Checkpoint.load(path)
    assert loaded.epochs[1] == kept[0].epochs[1] and len(loaded.epochs) == 2
    write_weights(model, loaded.weights)
    for a, b in zip(read_weights(model), kept[0].weights, strict=True):
        assert np.array_equal(a, b)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UserError, match="damaged"):
        Checkpoint.load(path)


def test_many_epochs_fit_into_a_checkpoint(tmp_path) -> None:
    epochs = [Epoch(n, 0.1, 0.9, 0.2, 0.8, 1e-3, 1.0, 0.2) for n in range(2000)]
    Checkpoint(epochs, [], [], [], 0, []).save(tmp_path / "long.h5")
    assert Checkpoint.load(tmp_path / "long.h5").epochs[-1] == epochs[-1]
