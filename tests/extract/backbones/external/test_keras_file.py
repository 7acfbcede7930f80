"""The user's own .keras file as a backbone: laid open, read at any layer, and never run as code."""

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from cache.errors import UserError
from classify.commands.finetune.network.border import find_border
from extract.backbones.backbone import Backbone
from extract.backbones.network import build_backbone, build_embedder, hash_weights
from extract.engines.choice import open_engine
from extract.engines.conversion import convert

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))


def own_model(size: int | None = 32) -> keras.Model:
    """As tutorials make them: augmentation, scaling, a network as one layer, pooling, a classifier."""
    keras.utils.set_random_seed(3)
    inner_input = keras.Input((size, size, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(inner_input)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Add(name="join")([x, layers.DepthwiseConv2D(3, padding="same", name="depth")(x)])
    inner = keras.Model(inner_input, layers.Conv2D(6, 3, name="dense")(x), name="inner")
    model = keras.Sequential(
        [
            keras.Input((size, size, 3)),
            layers.RandomFlip("horizontal"),
            layers.Rescaling(1 / 255),
            inner,
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(5, activation="softmax", name="dense"),
        ],
        name="own",
    )
    model.compile("adam", "categorical_crossentropy")
    return model


@pytest.fixture
def saved(tmp_path: Path) -> tuple[keras.Model, str]:
    model = own_model()
    model.save(tmp_path / "own.keras")
    return model, f"keras:{tmp_path / 'own.keras'}"


def test_stages_of_a_network_inside_a_model(tmp_path: Path) -> None:
    pixels = keras.Input((32, 32, 3))
    x = pixels
    for filters in (2, 4, 6, 8):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
    inner = keras.Model(pixels, x, name="inner")
    outer = keras.Sequential([keras.Input((32, 32, 3)), inner, layers.GlobalAveragePooling2D()], name="own")
    outer.save(tmp_path / "own.keras")
    name = f"keras:{tmp_path / 'own.keras'}"
    network = convert(Backbone.of(name, pooling="stages"))
    assert network.parts == [4, 6, 8] and network.weights == convert(Backbone.of(name)).weights
    for engine in ("litert", "keras"):
        rows = open_engine(engine, Backbone.of(name, pooling="stages"), network, 3).embed(PIXELS)
        expected = outer.predict(PIXELS.astype(np.float32), verbose=0)
        np.testing.assert_allclose(rows[:, -8:], expected, rtol=1e-3, atol=1e-4)


def test_it_runs_on_both_engines(saved: tuple[keras.Model, str]) -> None:
    model, name = saved
    backbone = Backbone.of(name, pooling="avg@inner_dense")
    assert (backbone.input_size, backbone.preprocessing) == (32, "none")
    inner = model.get_layer("inner")
    expected = inner.predict(PIXELS / np.float32(255), verbose=0).mean((1, 2))
    network = convert(backbone)
    assert network.dim == 6 and network.parameters == inner.count_params()
    for engine in ("litert", "keras"):
        rows = open_engine(engine, backbone, network, 3).embed(PIXELS)
        np.testing.assert_allclose(rows, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("pooling", "layer", "reduce"),
    [
        ("avg", None, None),
        ("avg@pool", "pool", None),
        ("max@norm", "norm", lambda maps: maps.max((1, 2))),
        ("flatten@join", "join", lambda maps: maps.reshape(3, -1)),
        ("layer:conv", "conv", None),
    ],
)
def test_any_layer_can_be_read(
    saved: tuple[keras.Model, str], pooling: str, layer: str | None, reduce: object
) -> None:
    model, name = saved
    inner = model.get_layer("inner")
    if layer is None:
        expected = model.predict(PIXELS, verbose=0)
    elif layer == "pool":
        expected = inner.predict(PIXELS / np.float32(255), verbose=0).mean((1, 2))
    else:
        below = keras.Model(inner.input, inner.get_layer(layer).output)
        expected = below.predict(PIXELS / np.float32(255), verbose=0)
    expected = reduce(expected) if callable(reduce) else expected
    rows = build_embedder(Backbone.of(name, pooling=pooling)).predict_on_batch(PIXELS)
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-6)


def test_it_shows_its_layers_to_the_border(saved: tuple[keras.Model, str]) -> None:
    network = build_backbone(Backbone.of(saved[1], pooling="avg@pool"))
    assert [layer.name for layer in network.layers][-6:] == [
        "conv",
        "norm",
        "depth",
        "join",
        "inner_dense",
        "pool",
    ]
    assert find_border(network, top=2).layer == "join"
    assert find_border(network, everything=True).trainable == ("conv", "depth", "inner_dense")
    with pytest.raises(UserError, match="layer of own such as inner_dense"):
        build_backbone(Backbone.of(saved[1], pooling="avg@inner_dens"))


def test_the_same_model_saved_again_is_the_same_space(saved: tuple[keras.Model, str], tmp_path: Path) -> None:
    model, name = saved
    model.compile("sgd")
    model.save(tmp_path / "again.keras")
    one, two = Backbone.of(name), Backbone.of(f"keras:{tmp_path / 'again.keras'}")
    assert one.name == two.name and one.digest != two.digest
    assert hash_weights(build_embedder(one)) == hash_weights(build_embedder(two))
    other = keras.Sequential(
        [keras.Input((32, 32, 3)), *model.layers[:-1], layers.Dense(5, name="dense")], name="own"
    )
    other.save(tmp_path / "other.keras")
    assert Backbone.of(f"keras:{tmp_path / 'other.keras'}").name != one.name


def test_any_size_needs_one_and_another_size_is_tried(tmp_path: Path, saved: tuple[keras.Model, str]) -> None:
    own_model(None).save(tmp_path / "any.keras")
    with pytest.raises(UserError, match="Expected --input-size for keras:"):
        Backbone.of(f"keras:{tmp_path / 'any.keras'}")
    for name in (f"keras:{tmp_path / 'any.keras'}", saved[1]):
        assert build_embedder(Backbone.of(name, input_size=48)).input_shape == (None, 48, 48, 3)
    flat = keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(2)])
    flat.save(tmp_path / "flat.keras")
    with pytest.raises(UserError, match=r"take pictures of 48 pixels.*--input-size that it was made for"):
        build_embedder(Backbone.of(f"keras:{tmp_path / 'flat.keras'}", input_size=48))


def test_one_of_several_outputs(tmp_path: Path) -> None:
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(pixels)
    model = keras.Model(pixels, {"a": layers.Conv2D(2, 3)(x), "b": layers.Conv2D(3, 3)(x)})
    model.save(tmp_path / "two.keras")
    name = f"keras:{tmp_path / 'two.keras'}"
    with pytest.raises(UserError, match=r"several: a \(B, 30, 30, 2\), b \(B, 30, 30, 3\)"):
        Backbone.of(name)
    rows = build_embedder(Backbone.of(f"{name}#b")).predict_on_batch(PIXELS)
    np.testing.assert_allclose(rows, model.predict(PIXELS, verbose=0)["b"].mean((1, 2)), rtol=1e-4)


def refused(path: Path, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Backbone.of(f"keras:{path}")


def test_code_is_never_run(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.Lambda(lambda x: x / 255), layers.Conv2D(2, 3)]
    )
    model.save(tmp_path / "code.keras")
    refused(tmp_path / "code.keras", "safe mode refuses it. Use layers .*savedmodel:folder")


def test_what_is_no_model_of_pictures_is_refused(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((7,)), layers.Dense(2)]).save(tmp_path / "words.keras")
    refused(tmp_path / "words.keras", r"takes float32 \(None, 7\)")
    keras.Sequential([keras.Input((32, 24, 3)), layers.Conv2D(2, 3)]).save(tmp_path / "wide.keras")
    refused(tmp_path / "wide.keras", r"square pictures.*\(None, 32, 24, 3\)")
    (tmp_path / "none.keras").write_bytes(b"not a zip")
    refused(tmp_path / "none.keras", "Expected a .keras file in .*not a zip file. Save the model again")
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    refused(tmp_path / "empty.keras", "has no config.json")
    refused(tmp_path / "nowhere.keras", "which is not there")
    (tmp_path / "old.h5").write_bytes(b"")
    refused(tmp_path / "old.h5", "can hold code")
    (tmp_path / "notes.txt").write_text("")
    refused(tmp_path / "notes.txt", "a file of another kind")


def test_a_damaged_file_is_refused(saved: tuple[keras.Model, str], tmp_path: Path) -> None:
    data = bytearray((tmp_path / "own.keras").read_bytes())
    with zipfile.ZipFile(tmp_path / "own.keras") as archive:
        middle = archive.getinfo("model.weights.h5").header_offset + 500
    data[middle : middle + 50] = b"x" * 50
    (tmp_path / "own.keras").write_bytes(data)
    refused(tmp_path / "own.keras", "model.weights.h5.* damaged|Bad CRC")


@keras.saving.register_keras_serializable("tests")
class Doubling(layers.Layer):
    def call(self, x):  # type: ignore[no-untyped-def]
        return 2 * x


def test_a_class_that_is_not_keras_own_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras.Sequential([keras.Input((32, 32, 3)), Doubling(), layers.Conv2D(2, 3)]).save(tmp_path / "c.keras")
    monkeypatch.delitem(keras.saving.get_custom_objects(), "tests>Doubling")  # as in another process
    monkeypatch.setattr(Doubling, "__module__", "elsewhere")
    refused(tmp_path / "c.keras", "Expected a model of Keras' own layers.*savedmodel:folder")


def test_a_file_that_changed_meanwhile_is_noticed(saved: tuple[keras.Model, str], tmp_path: Path) -> None:
    backbone = Backbone.of(saved[1])
    own_model(None).save(tmp_path / "own.keras")
    with pytest.raises(UserError, match="changed meanwhile"):
        build_embedder(backbone)
