"""Folds tell training that helps from training that learns by heart, and leave the network as it was."""

from dataclasses import replace
from functools import cache

import keras
import numpy as np
import pytest
from keras import layers

from classify.commands.finetune.choosing.cross_validation import ALPHAS, Fold, cross_validate
from classify.commands.finetune.network.border import find_border
from classify.commands.finetune.network.top import build_top
from classify.commands.finetune.start.trials import NEVER
from classify.models.linear import LinearHead
from classify.training.curves import curves_png, interpolation_png
from classify.training.history import History
from classify.training.loop import read_weights
from classify.training.settings import Settings
from classify.training.validation import judge
from extract.backbones.backbone import Backbone
from tests.classify.training.test_loop import Fixed, samples

N, CLASSES, CHANNELS = 60, 3, 8
BACKBONE = Backbone.of("efficientnet_lite0", input_size=64, pooling="avg")
SETTINGS = Settings(epochs=5, batch_size=10, views=0, optimizer="adam", lr=0.02, schedule="constant")
CODES = np.random.default_rng(3).permutation(np.arange(N) % CLASSES)


@cache
def network() -> keras.Model:
    """One convolution that is left alone, and one that trains."""
    keras.utils.set_random_seed(0)
    below, above = (layers.Conv2D(CHANNELS, 1, activation="relu", name=name) for name in ("low", "high"))
    return keras.Sequential([keras.Input((2, 2, CHANNELS)), below, above])


def head(kernel: np.ndarray | None = None, bias: np.ndarray | None = None) -> LinearHead:
    kernel = np.zeros((CHANNELS, CLASSES)) if kernel is None else kernel
    bias = np.zeros(CLASSES) if bias is None else bias
    return LinearHead("none", kernel.astype(np.float32), bias.astype(np.float32), ("a", "b", "c"))


def top() -> keras.Model:
    return build_top(network(), find_border(network(), from_layer="high"), BACKBONE, head())


def activations(signal: float, codes: np.ndarray = CODES) -> np.ndarray:
    """Maps (n, 2, 2, c) whose first channels tell the class, as clearly as `signal` says."""
    random = np.random.default_rng(0)
    x = random.normal(size=(len(codes), 2, 2, CHANNELS)) * 0.3
    x[..., :CLASSES] += signal * np.eye(CLASSES + 1, CLASSES)[codes][:, None, None]
    return x.astype(np.float32)


def folds(x: np.ndarray, heads: list[LinearHead], codes: np.ndarray = CODES) -> list[Fold]:
    """As many folds as heads, of different sizes and in no order of the rows."""
    order = np.random.default_rng(1).permutation(len(x))
    cuts = np.sort(np.random.default_rng(2).permutation(np.arange(5, len(x) - 5))[: len(heads) - 1])
    data = samples(x, codes)
    found = []
    for val, own in zip(np.split(order, cuts), heads, strict=True):
        fit = np.setdiff1d(order, val)
        found.append(
            Fold(*(replace(data, rows=rows, codes=codes[rows]) for rows in (fit, val)), own)  # type: ignore[arg-type]
        )
    return found


def run(
    each: list[Fold], settings: Settings = SETTINGS, floor: float = 0.0
) -> tuple[History, float, list[str]]:
    """Cross-validate, and make sure that no weight is another one afterwards."""
    model, lines = top(), []
    before, all_before = read_weights(model), [np.array(v) for v in model.variables]
    found = cross_validate(model, each, settings, floor, lines.append)
    history, logits = found.history, found.logits
    codes = np.concatenate([fold.val.codes for fold in each])
    chosen = next(p for p in history.line if p.alpha == history.alpha)
    assert (logits.argmax(axis=1) == codes).mean() == pytest.approx(chosen.val_accuracy)
    assert all(np.array_equal(a, b) for a, b in zip(read_weights(model), before, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(model.variables, all_before, strict=True))
    return history, found.temperature, lines


def test_training_that_helps_is_found_out() -> None:
    """Heads that know nothing on activations that tell everything."""
    history, temperature, lines = run(folds(activations(2.0), [head(), head(), head()]))
    assert history.alpha > 0 and history.best == SETTINGS.epochs
    chosen = next(p for p in history.line if p.alpha == history.alpha)
    assert chosen.val_accuracy > 0.9 > 0.5 > history.line[0].val_accuracy
    assert chosen.calibrated_loss < 0.5 * history.line[0].calibrated_loss
    assert [p.alpha for p in history.line] == [0.0, *ALPHAS]
    assert (history.val_n, history.folds) == (N, 3)
    assert [epoch.number for epoch in history.epochs] == list(range(SETTINGS.epochs + 1))
    assert history.epochs[history.best].val_accuracy == history.line[-1].val_accuracy  # alpha 1 is the epoch
    assert history.epochs[0].val_accuracy == history.line[0].val_accuracy
    assert temperature > 0 and len(lines) == 3 and "fold 3 of 3: 5 epochs" in lines[2]


def test_training_on_noise_is_found_out() -> None:
    history, _, _ = run(folds(activations(0.0), [head(), head(), head()]))
    assert history.alpha == 0.0 and len(history.line) == 1 + len(ALPHAS)
    assert history.line[0].calibrated_loss == pytest.approx(np.log(3), abs=1e-3)
    assert history.epochs[-1].accuracy > history.line[0].val_accuracy + 0.05  # it did learn by heart


def test_of_what_folds_cannot_tell_apart_they_take_the_nearest_to_the_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    each, settings = folds(activations(2.0), [head(), head()]), replace(SETTINGS, epochs=2)
    chosen = []
    for slack in (0.0, 1.0, 1e6):
        monkeypatch.setattr("classify.commands.finetune.choosing.cross_validation.SLACK", slack)
        chosen.append(run(each, settings)[0].alpha)
    assert chosen[0] >= chosen[1] >= chosen[2] > 0 and chosen[0] > chosen[2]


def test_a_floor_keeps_the_head() -> None:
    history, _, _ = run(folds(activations(2.0), [head(), head()]), replace(SETTINGS, epochs=2), floor=1.01)
    line = history.line  # of which all but the first would have been taken
    assert history.alpha == 0 and line[-1].val_accuracy > line[0].val_accuracy + 0.3


def test_answers_are_joined_in_the_order_of_the_folds() -> None:
    """Each fold's own head answers for its own pictures."""
    x, random = activations(1.0), np.random.default_rng(5)
    each = folds(x, [head(random.normal(size=(CHANNELS, CLASSES))) for _ in range(3)])
    high = network().get_layer("high")
    features = np.maximum(x @ np.array(high.kernel)[0, 0] + np.array(high.bias), 0).mean(axis=(1, 2))
    logits = np.concatenate([fold.head.logits(features[fold.val.rows]) for fold in each])
    expected = judge(logits, np.concatenate([CODES[fold.val.rows] for fold in each]))
    history, _, _ = run(each, replace(SETTINGS, epochs=1, lr=1e-7))
    found = history.line[0]
    assert found.val_accuracy == pytest.approx(expected.accuracy)
    assert found.val_loss == pytest.approx(expected.loss, abs=1e-4)
    assert found.calibrated_loss == pytest.approx(expected.calibrated_loss, abs=1e-4)
    for point in history.line:  # next to nothing was trained
        assert point.val_loss == pytest.approx(expected.loss, abs=1e-3)


def test_no_fold_goes_on_where_another_ended() -> None:
    """Its pictures would have trained the network that they judge."""
    each, settings = folds(activations(1.0), [head(), head()]), replace(SETTINGS, epochs=2)
    once, _, _ = run(each[:1], settings)
    twice, _, _ = run([each[0], each[0]], settings)
    for a, b in zip(once.epochs[1:], twice.epochs[1:], strict=True):
        assert (a.loss, a.val_accuracy) == pytest.approx((b.loss, b.val_accuracy), rel=1e-4)


def test_a_class_that_a_fold_lacks_takes_no_part_in_the_temperature() -> None:
    """Its logit there is a placeholder: it would ask for a temperature that makes all other answers vague."""
    codes = np.where(CODES == 2, 0, CODES)
    x = activations(2.0, codes)
    high = network().get_layer("high")
    features = np.maximum(x @ np.array(high.kernel)[0, 0] + np.array(high.bias), 0).mean(axis=(1, 2))
    kernel = np.linalg.lstsq(features, np.eye(2)[codes] * 4, rcond=None)[0]
    narrow = head(np.column_stack([kernel, np.zeros(CHANNELS)]), np.array([0, 0, NEVER]))
    settings = replace(SETTINGS, epochs=1, lr=1e-7)
    _, expected, _ = run(folds(x, [narrow, narrow], codes), settings)
    lone = codes.copy()
    lone[7] = 2
    history, temperature, _ = run(folds(x, [narrow, narrow], lone), settings)
    assert temperature == pytest.approx(expected, rel=0.2)
    assert history.line[0].val_accuracy == pytest.approx((codes == lone).mean(), abs=0.05)  # it is an error


@pytest.mark.figures
def test_a_loss_that_is_no_number_keeps_the_head_and_is_told() -> None:
    x = activations(2.0)
    x[:, 0, 0, 0] = np.nan
    finite = folds(activations(2.0), [head(), head()])
    each = [finite[0], replace(finite[1], fit=replace(finite[1].fit, activations=Fixed(x)))]
    history, temperature, lines = run(each, replace(SETTINGS, epochs=2))
    assert history.alpha == 0 and history.best == 0 and len(history.epochs) == 1
    assert np.isfinite(temperature) and "--lr" in lines[1] and "--lr" not in lines[0]
    assert curves_png(history, "logreg") and interpolation_png(history)
