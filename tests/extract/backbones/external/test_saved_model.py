"""SavedModels as backbones: what is read from them, both engines, and what cannot be used."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cache.errors import UserError
from extract.backbones.backbone import Backbone
from extract.backbones.external.kinds import find
from extract.backbones.network import build_embedder
from extract.engines import choice
from extract.engines.choice import choose_engine, learn_network, open_engine
from extract.engines.conversion import Unconvertible, compare, convert

tf = pytest.importorskip("tensorflow")
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))


def picture(size: int | None = 32, dtype: str = "float32") -> Any:
    return tf.TensorSpec((None, size, size, 3), dtype, name="images")


class Module(tf.Module):
    """Two outputs, as modules of TF-Hub have them: maps (B, 8, 8, 5) and a summary (B, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal((4, 4, 3, 5), [1, 2]))

    def maps(self, images: Any) -> Any:
        return tf.nn.conv2d(tf.cast(images, tf.float32), self.kernel, 4, "SAME")


def save(folder: Path, call: Callable[..., Any], *specs: Any, module: tf.Module | None = None) -> str:
    module = module or Module()
    function = tf.function(lambda *arguments: call(module, *arguments), input_signature=specs)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": function})
    return f"savedmodel:{folder}"


def hub(folder: Path, size: int | None = 32) -> str:
    def call(module: Module, images: Any) -> Any:
        maps = module.maps(images)
        return {"maps": maps, "default": tf.reduce_mean(maps, (1, 2))}

    return save(folder, call, picture(size))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "module"
    hub(folder)
    return folder


def test_a_module_runs_on_both_engines(module: Path) -> None:
    """Preprocessing x / 255, the input size of the signature, and the output `default`."""
    backbone = Backbone.of(f"savedmodel:{module}")
    assert (backbone.input_size, backbone.preprocessing) == (32, "unit")
    expected = tf.saved_model.load(str(module)).signatures["serving_default"](
        tf.constant(PIXELS / np.float32(255))
    )
    network = convert(backbone)
    assert network.dim == 5 and network.parameters == 4 * 4 * 3 * 5
    for name in ("litert", "keras"):
        rows = open_engine(name, backbone, network, 3).embed(PIXELS)
        np.testing.assert_allclose(rows, expected["default"], rtol=1e-4, atol=1e-5)


def test_another_output_and_its_pooling(module: Path) -> None:
    pixels = PIXELS / np.float32(255)
    maps = tf.saved_model.load(str(module)).signatures["serving_default"](tf.constant(pixels))["maps"]
    spaces = set()
    for pooling, expected in (("max", np.max(maps, (1, 2))), ("flatten", np.reshape(maps, (3, -1)))):
        backbone = Backbone.of(f"savedmodel:{module}#maps", pooling=pooling)
        np.testing.assert_allclose(
            build_embedder(backbone).predict_on_batch(PIXELS), expected, rtol=1e-4, atol=1e-5
        )
        spaces.add(backbone.name)
    assert spaces == {Backbone.of(f"savedmodel:{module}").name + "#maps"}
    with pytest.raises(
        UserError, match=r"received 'pooled'. It has .*default \(B, 5\), .*maps \(B, 8, 8, 5\)"
    ):
        Backbone.of(f"savedmodel:{module}#pooled")


def test_an_archive_and_a_moved_folder_are_the_same_model(module: Path, tmp_path: Path) -> None:
    archive = tmp_path / "module.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(module, "1")
    one, two = Backbone.of(f"savedmodel:{module}"), Backbone.of(f"savedmodel:{archive}")
    assert (one.name, one.digest, one.source()) == (two.name, two.digest, two.source())
    assert one.location != two.location == f"savedmodel:{archive}"


def test_what_was_learnt_is_kept(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find(f"savedmodel:{module}")
    monkeypatch.setattr(tf.saved_model, "load", lambda *_: pytest.fail("opened again"))
    assert find(f"savedmodel:{module}") == first


def test_any_size_needs_one(tmp_path: Path) -> None:
    name = hub(tmp_path / "any", None)
    with pytest.raises(UserError, match="Expected --input-size for savedmodel:"):
        Backbone.of(name)
    assert build_embedder(Backbone.of(name, input_size=48)).input_shape == (None, 48, 48, 3)


def test_a_model_that_takes_bytes_gets_them(tmp_path: Path) -> None:
    name = save(
        tmp_path / "bytes", lambda module, images: {"default": module.maps(images)}, picture(32, "uint8")
    )
    backbone = Backbone.of(name)
    assert backbone.preprocessing == "none"
    expected = np.mean(Module().maps(PIXELS.astype(np.float32)), (1, 2))
    np.testing.assert_allclose(build_embedder(backbone).predict_on_batch(PIXELS), expected, rtol=1e-3)


def test_a_module_without_signatures_is_called(tmp_path: Path) -> None:
    class Callable_(Module):
        @tf.function
        def __call__(self, images: Any) -> Any:
            return self.maps(images)

    module = Callable_()
    module.__call__.get_concrete_function(picture())
    tf.saved_model.save(module, str(tmp_path / "called"))
    embedder = build_embedder(Backbone.of(f"savedmodel:{tmp_path / 'called'}", input_size=32))
    expected = np.mean(module.maps(PIXELS / np.float32(255)), (1, 2))
    np.testing.assert_allclose(embedder.predict_on_batch(PIXELS), expected, rtol=1e-3)


def test_what_a_keras_model_exports_is_read(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3, 2)])
    model.export(tmp_path / "exported", verbose=False)
    embedder = build_embedder(Backbone.of(f"savedmodel:{tmp_path / 'exported'}", preprocessing="tf"))
    expected = model.predict(PIXELS / np.float32(127.5) - 1, verbose=0).mean((1, 2))
    np.testing.assert_allclose(embedder.predict_on_batch(PIXELS), expected, rtol=1e-3, atol=1e-5)


def test_what_litert_cannot_run_falls_back_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = save(
        tmp_path / "odd",
        lambda module, images: {"default": tf.math.bessel_i0(module.maps(images))},
        picture(),
    )
    backbone, said = Backbone.of(name), []
    network, engine = learn_network(backbone, "litert", said.append, True)
    assert engine is not None and engine.name == "keras" and network.weights == engine.network.weights
    assert "LiteRT cannot run this network (" in said[-1] and "Bessel" in said[-1]
    monkeypatch.setattr(choice, "convert", refuse)
    monkeypatch.setattr(choice, "gpu_seen", lambda: False)
    again: list[str] = []
    assert choose_engine("auto", backbone) == "keras"
    assert learn_network(backbone, "keras", again.append, True) == (network, None)
    assert said[-1:] == again
    with pytest.raises(UserError, match=r"no such operation. Pass --engine keras"):
        learn_network(backbone, "litert")


def test_a_conversion_that_answers_differently_is_refused(module: Path) -> None:
    backbone = Backbone.of(f"savedmodel:{module}")
    embedder = build_embedder(backbone)

    @tf.function(input_signature=[picture(32, "uint8")])
    def same(pixels: Any) -> Any:
        return embedder(pixels)

    @tf.function(input_signature=[picture(32, "uint8")])
    def other(pixels: Any) -> Any:
        return 1.01 * embedder(pixels)

    def converted(function: Any) -> bytes:
        return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()]).convert()

    compare(backbone, embedder, converted(same))
    with pytest.raises(Unconvertible, match=r"answers differ by 0\.01 of their size"):
        compare(backbone, embedder, converted(other))


def refuse(backbone: Backbone) -> None:
    raise Unconvertible(backbone.name, "no such operation")


def two_inputs(folder: Path) -> str:
    spec = tf.TensorSpec((None, 4), name="numbers")
    return save(folder, lambda module, images, numbers: {"a": module.maps(images)}, picture(), spec)


def no_picture(folder: Path) -> str:
    return save(folder, lambda module, words: {"a": words * 2}, tf.TensorSpec((None, 7), name="words"))


def nothing(folder: Path) -> str:
    tf.saved_model.save(tf.Module(), str(folder))
    return f"savedmodel:{folder}"


def ambiguous(folder: Path) -> str:
    return save(
        folder, lambda module, images: {"a": module.maps(images), "b": module.maps(images)}, picture()
    )


def damaged(folder: Path) -> str:
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"no protocol buffer")
    return f"savedmodel:{folder}"


def empty(folder: Path) -> str:
    (folder / "notes").mkdir(parents=True)
    return f"savedmodel:{folder}"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (two_inputs, r"takes one batch of square pictures.*numbers: float32 \(None, 4\)"),
        (no_picture, r"received serving_default\(words: float32 \(None, 7\)\)"),
        (nothing, "no signature at all"),
        (ambiguous, r"several: a \(B, 8, 8, 5\), b \(B, 8, 8, 5\). Name one behind '#'.*#a"),
        (damaged, "Expected a TF2 SavedModel"),
        (empty, "one saved_model.pb in .*none among notes"),
        (lambda folder: f"savedmodel:{folder}", "not there"),
        (lambda folder: "savedmodel:", "Expected savedmodel:PATH, received 'savedmodel:'"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path: Path, make: Callable[[Path], str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Backbone.of(make(tmp_path / "model"))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"weights": "none"}, "--weights pretrained"),
        ({"precision": "float16"}, "--precision float32"),
        ({"input_size": 64}, "input size of 32"),
        ({"pooling": "avg@conv"}, "does not show its layers"),
        ({"preprocessing": "best"}, "preprocessing out of lite"),
    ],
)
def test_what_cannot_be_asked_of_a_saved_model(module: Path, asked: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Backbone.of(f"savedmodel:{module}", **asked)
