"""A network in 8-bit integers: near the float32 one, the same everywhere, and named by its own numbers."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from extract.backbones.calibration import Calibration
from extract.engines.flatbuffer import kind_of, read, write
from extract.engines.folding import fold
from extract.engines.quantisation import Unquantisable, hash_tensors, measure, quantise
from tests.extract.engines.tiny import float_file, pictures, tiny_network


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return measure(float_file(), pictures(30))


def rows(network: bytes, pixels: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=network)
    interpreter.allocate_tensors()
    found = []
    for picture in pixels:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.stack(found)


def changed(network: bytes, change: Any) -> bytes:
    model = read(network)
    change(model)
    return write(model)


def test_folding_changes_no_row() -> None:
    model = tiny_network()
    folded = fold(model)
    assert sum(isinstance(layer, layers.BatchNormalization) for layer in folded.layers) == 0
    expected, found = (np.asarray(each.predict_on_batch(pictures(5))) for each in (model, folded))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_convolution_that_something_else_reads_is_not_folded() -> None:
    x = layers.Conv2D(4, 3)(entry := keras.Input((8, 8, 3)))
    both = keras.Model(entry, layers.Add()([x, layers.BatchNormalization()(x)]))
    shown = keras.Model(entry, [x, layers.BatchNormalization()(x)])
    for model in (both, shown, keras.Model(entry, x)):  # the last ends below the normalisation
        folded = fold(model)
        assert len(folded.layers) == len(model.layers)
        pixels = np.ones((1, 8, 8, 3), np.float32)
        for a, b in zip(
            *(keras.tree.flatten(m.predict_on_batch(pixels)) for m in (model, folded)), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_models_inside_models_are_folded() -> None:
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()], name="inner"
    )
    outer = keras.Model(entry := keras.Input((8, 8, 3)), layers.ReLU()(inner(entry)))
    folded = fold(outer)
    assert [type(layer).__name__ for layer in folded.get_layer("inner").layers] == ["InputLayer", "Conv2D"]


def test_what_a_kernel_cannot_hold_is_not_folded() -> None:
    """A mean of the batch's own; and half precision, in which a normalisation alone computes in float32."""
    entry = keras.Input((8, 8, 3))
    own = keras.Model(entry, layers.BatchNormalization()(layers.Conv2D(4, 3)(entry), training=True))
    with_half = {"dtype": "mixed_float16"}
    x = layers.Conv2D(4, 3, **with_half)(entry)
    half = keras.Model(entry, layers.BatchNormalization(**with_half)(x))
    for model in (own, half):
        assert [type(each) for each in fold(model).layers] == [type(each) for each in model.layers]


class Opaque(keras.Model):
    """Shows no graph."""

    def __init__(self) -> None:
        super().__init__(name="opaque")
        self.norm = layers.BatchNormalization()

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self.norm(x)


def test_a_model_that_shows_no_graph_is_left() -> None:
    opaque, pixels = Opaque(), np.ones((1, 8, 8, 3), np.float32)
    model = keras.Model(entry := keras.Input((8, 8, 3)), layers.ReLU()(opaque(layers.Conv2D(4, 3)(entry))))
    folded = fold(model)
    assert folded.get_layer("opaque") is opaque
    np.testing.assert_array_equal(folded.predict_on_batch(pixels), model.predict_on_batch(pixels))


def test_rows_are_near_and_the_order_of_its_activations_is_known(calibration: Calibration) -> None:
    channels = [len(each.channel_means) for each in calibration.activations]
    assert channels == [3, 8, 24, 24, 8, 8, 16]
    first = calibration.activations[0]
    assert (first.low, first.high) == (-127 / 128, 1)  # what a picture can hold, and not only these
    exact, found = (
        rows(float_file(), pictures(20, 1)),
        rows(quantise(float_file(), calibration), pictures(20, 1)),
    )
    assert found.shape == (20, 24) and found.dtype == np.float32
    assert np.linalg.norm(found - exact) < 0.03 * np.linalg.norm(exact)


def test_averages_and_what_joins_them_stay_in_float32(calibration: Calibration) -> None:
    model = read(quantise(float_file(), calibration))
    graph, FLOAT, UINT8 = model.subgraphs[0], 0, 3
    types = {kind_of(model, o): graph.tensors[o.outputs[0]].type for o in graph.operators}
    assert types["MEAN"] == types["CONCATENATION"] == FLOAT != types["CONV_2D"]
    assert kind_of(model, graph.operators[0]) == "QUANTIZE"  # no preparation in float32 is left
    assert graph.tensors[graph.inputs[0]].type == UINT8


def test_a_preparation_that_is_no_shift_stays(calibration: Calibration) -> None:
    first, *others = calibration.activations
    wider = Calibration((replace(first, high=2.0), *others))
    model = read(quantise(float_file(), wider))
    kinds = [kind_of(model, operator) for operator in model.subgraphs[0].operators]
    assert kinds[:4] == ["CAST", "MUL", "ADD", "QUANTIZE"]


def test_the_same_asking_gives_the_same_network(calibration: Calibration) -> None:
    first, second = (quantise(float_file(), calibration) for _ in range(2))
    assert first == second


def test_the_hash_is_of_numbers_and_not_of_names(calibration: Calibration) -> None:
    network = quantise(float_file(), calibration)
    known = hash_tensors(network)

    def rename(model: Any) -> None:
        for tensor in model.subgraphs[0].tensors:
            tensor.name = b"another " + tensor.name

    def turn_a_weight(model: Any) -> None:
        graph = model.subgraphs[0]
        operator = next(o for o in graph.operators if kind_of(model, o) == "CONV_2D")
        buffer = model.buffers[graph.tensors[operator.inputs[1]].buffer]
        buffer.data = np.array(buffer.data)
        buffer.data[5] ^= 1

    assert hash_tensors(changed(network, rename)) == known
    assert hash_tensors(changed(network, turn_a_weight)) != known
    wider = list(calibration.activations)
    wider[2] = replace(wider[2], high=9.0)
    assert hash_tensors(quantise(float_file(), Calibration(tuple(wider)))) != known


def test_a_calibration_of_another_network_is_refused(calibration: Calibration) -> None:
    with pytest.raises(Unquantisable, match="of another network: it has 6 activations, this one 7"):
        quantise(float_file(), Calibration(calibration.activations[:-1]))


def test_a_channel_that_training_has_put_out_keeps_its_bias(calibration: Calibration) -> None:
    def put_out(model: Any) -> None:
        graph = model.subgraphs[0]
        operator = next(o for o in graph.operators if kind_of(model, o) == "CONV_2D")
        for index, value in ((1, 1e-24), (2, 5.0)):
            buffer = model.buffers[graph.tensors[operator.inputs[index]].buffer]
            values = np.frombuffer(bytes(buffer.data), np.float32).copy()
            values[: len(values) // 8] = value  # the first of eight channels
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)

    network = changed(float_file(), put_out)
    exact = rows(network, pictures(10))
    found = rows(quantise(network, measure(network, pictures(30))), pictures(10))
    assert np.linalg.norm(found - exact) < 0.03 * np.linalg.norm(exact)


def test_what_has_no_convolution_is_refused() -> None:
    def none_left(model: Any) -> None:
        model.subgraphs[0].operators = model.subgraphs[0].operators[:3]

    with pytest.raises(Unquantisable, match="no convolution"):
        measure(changed(float_file(), none_left), pictures(2))
