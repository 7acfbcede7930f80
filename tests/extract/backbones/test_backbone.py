"""The table of backbones, and the bundled ones against what is known of them."""

import os
import random
import re
import socket
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from cache.errors import UserError
from extract.backbones.backbone import Backbone
from extract.backbones.efficientnet_lite import VARIANTS, classifier_weights, packaged_weights
from extract.backbones.families import FAMILIES, weights_state
from extract.backbones.network import build_backbone, build_embedder, hash_weights
from extract.backbones.preprocessing import affine, mode_of, preprocess, text_of
from extract.engines import choice, network_cache
from extract.engines.choice import choose_engine, learn_network, open_engine
from extract.engines.conversion import Unconvertible
from extract.engines.engine import KerasEngine
from extract.engines.network_cache import Network
from extract.pictures.decoding import decode
from extract.settings import Decoding

PALACE, DAISY = 698, 985  # ImageNet classes
# Of the two that are scaled up, the one that is scaled in width too stands for both.
CONVERTED = [pytest.param(n, marks=pytest.mark.slow if n == "efficientnet_lite1" else ()) for n in VARIANTS]


def photographs(size: int) -> np.ndarray:
    """Scikit-learn's two sample photographs, centre square: (2, size, size, 3) uint8."""
    pictures = []
    for pixels in load_sample_images().images:
        image = Image.fromarray(pixels)
        (width, height), side = image.size, min(image.size)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        pictures.append(np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box)))
    return np.stack(pictures)


def test_known_photographs_get_their_known_classes() -> None:
    """DESIGN section 5: architecture, weights, layout, padding and preprocessing are all right, or this fails."""
    backbone = Backbone.of("efficientnet_lite0", pooling="avg")
    embedding = np.asarray(build_embedder(backbone).predict_on_batch(photographs(224)))
    path = packaged_weights("efficientnet_lite0")
    assert path is not None
    kernel, bias = classifier_weights(path)
    assert np.argmax(embedding @ kernel + bias, axis=1).tolist() == [PALACE, DAISY]


@pytest.mark.parametrize("name", CONVERTED)
def test_engines_agree_on_photographs(name: str, flowers: Path) -> None:
    backbone = Backbone.of(name)
    network, _ = learn_network(backbone, "litert")
    size = backbone.input_size
    files = sorted(flowers.glob("*/*.jpg"))[::400]
    pixels = np.stack(
        [decode(path.read_bytes(), size, Decoding()) for path in files] + list(photographs(size))
    )
    rows = {}
    for engine_name in ("litert", "keras"):
        engine = open_engine(engine_name, backbone, network, batch_size=4)
        rows[engine_name] = np.concatenate(
            [engine.embed(pixels[i : i + 4]) for i in range(0, len(pixels), 4)]
        )
    assert rows["litert"].dtype == rows["keras"].dtype == np.float32
    assert rows["litert"].shape == (len(pixels), FAMILIES[name].staged)
    off = np.linalg.norm(rows["litert"] - rows["keras"], axis=1) / np.linalg.norm(rows["keras"], axis=1)
    assert off.max() < 1e-4


@pytest.mark.parametrize("name", CONVERTED)
def test_the_table_tells_the_truth_about_the_bundled(name: str) -> None:
    network, _ = learn_network(Backbone.of(name), "litert")
    row = FAMILIES[name]
    assert (network.dim, network.parts[-1], network.parameters) == (row.staged, row.dim, row.parameters)
    assert weights_state(name)[1]


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name].constructor])
def test_preprocessing_is_the_familys_own(name: str) -> None:
    module = sys.modules[getattr(keras.applications, FAMILIES[name].constructor).__module__]
    pixels = photographs(32)
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    model = keras.Model(inputs, preprocess(inputs, FAMILIES[name].preprocessing))
    own = module.preprocess_input(pixels.astype("float32"))
    np.testing.assert_allclose(model.predict_on_batch(pixels), own, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50_v2"])
def test_weights_from_a_file_are_loaded_and_identified(name: str, tmp_path: Path) -> None:
    random = Backbone.of(name, weights="none", input_size=32)
    keras.utils.set_random_seed(5)
    source = build_backbone(random)
    source.save_weights(tmp_path / "own.weights.h5")
    embedder = build_embedder(Backbone.of(name, weights=str(tmp_path / "own.weights.h5"), input_size=32))
    assert hash_weights(embedder) == hash_weights(source)
    assert embedder.output_shape == (None, FAMILIES[name].dim)
    assert int(embedder.count_params()) == FAMILIES[name].parameters
    with warnings.catch_warnings(record=True) as warned, pytest.raises(UserError) as caught:
        warnings.simplefilter("always")
        build_embedder(Backbone.of("mobilenet", weights=str(tmp_path / "own.weights.h5"), input_size=32))
    assert not warned
    assert re.search(
        r"^Expected weights of mobilenet .*\. Name the network .*include_top=False\.$", str(caught.value)
    )
    assert len(str(caught.value)) < 500


def test_a_notebook_keeps_its_policy_and_its_random_states() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        random.seed(5)
        np.random.seed(5)
        before = random.getstate(), np.random.get_state()[1].tolist()
        KerasEngine(Backbone.of("mobilenet_v2", weights="none", input_size=32))
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(("mode", "expected"), [("unit", 0.2), (affine([2, 1, 0.5], [0, -1, 1]), None)])
def test_preprocessing_of_models_from_elsewhere(mode: str, expected: float | None) -> None:
    inputs = keras.Input((1, 1, 3), dtype="uint8")
    given = keras.Model(inputs, preprocess(inputs, mode)).predict_on_batch(
        np.full((1, 1, 1, 3), 51, np.uint8)
    )
    np.testing.assert_allclose(given.ravel(), [expected] * 3 if expected else [102, 50, 26.5], rtol=1e-6)
    assert mode_of(text_of(mode)) == mode and mode_of("something new") is None


def test_imagenet_is_another_word_for_pretrained() -> None:
    assert Backbone.of("resnet50", "imagenet") == Backbone.of("resnet50", "pretrained")
    assert Backbone.of("resnet50").preprocessing == "caffe"
    assert Backbone.of("resnet50", preprocessing="tf").preprocessing == "tf"


def test_published_weights_of_efficientnet_from_a_file(tmp_path: Path) -> None:
    """Keras divides by the deviations' roots for weights="imagenet" alone; the file of them is to give the same."""
    name, deviations = "efficientnet_b0", np.float32([0.229, 0.224, 0.225])
    network = build_backbone(Backbone.of(name, "none", 32))
    network.save_weights(tmp_path / "own.weights.h5")
    same = build_backbone(Backbone.of(name, str(tmp_path / "own.weights.h5"), 32))
    assert len(same.layers) == len(network.layers)
    mean = np.float32([0.485, 0.456, 0.406])
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([mean, deviations, np.int64(0)])
    network.save_weights(tmp_path / "published.weights.h5")
    loaded = build_backbone(Backbone.of(name, str(tmp_path / "published.weights.h5"), 32))
    assert hash_weights(loaded) == hash_weights(network)
    pixels = photographs(32).astype(np.float32)
    # The extra layer does to the published figures what the right variances would have done.
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([mean, deviations**2, np.int64(0)])
            layer.finalize_state()
    np.testing.assert_allclose(loaded(pixels), network(pixels), rtol=1e-3, atol=1e-6)


def test_a_partial_batch_gives_the_same_rows() -> None:
    backbone = Backbone.of()
    network, _ = learn_network(backbone, "litert")
    pixels = photographs(224)
    whole, padded = open_engine("litert", backbone, network, 1), open_engine("litert", backbone, network, 5)
    rows = np.concatenate([whole.embed(pixels[:1]), whole.embed(pixels[1:])])
    np.testing.assert_allclose(padded.embed(pixels), rows, rtol=1e-4, atol=1e-5)


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", _no_network)
    with pytest.raises(UserError, match=r"download the ImageNet weights of mobilenet_v2.*--weights FILE"):
        build_embedder(Backbone.of("mobilenet_v2", input_size=32))


def _no_network(*_: object, **__: object) -> list:
    raise socket.gaierror("no network in this test")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"name": "resnet51"}, "Expected a backbone such as resnet.* or savedmodel:PATH, keras:FILE.keras"),
        ({"name": "torch:own.pt"}, "Expected a backbone such as"),
        ({"pooling": "avg@"}, "one of the three with @NAME, stages, or layer:NAME"),
        ({"name": "inception_v3", "input_size": 100_000}, "received 100000. Without --input-size it is 299"),
        (
            {"name": "inception_v3", "input_size": 74},
            "at least 75 and at most 2048 pixels for inception_v3, received 74",
        ),
        ({"weights": "nowhere.h5"}, "not there"),
        ({"pooling": "median"}, "avg, max, flatten"),
        ({"precision": "float8"}, "float32, float16"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(asked: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Backbone.of(**asked)


def test_engine_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "gpu_seen", lambda: False)
    assert choose_engine("auto", Backbone.of()) == "litert"
    assert choose_engine("auto", Backbone.of(precision="float16")) == "keras"
    monkeypatch.setattr(choice, "gpu_seen", lambda: True)
    assert choose_engine("auto", Backbone.of()) == "keras"
    assert choose_engine("litert", Backbone.of()) == "litert"
    with pytest.raises(UserError, match="float32 or int8"):
        choose_engine("litert", Backbone.of(precision="float16"))


def test_a_network_that_keras_ran_first_is_converted_or_falls_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Stand:
        """In Keras' place."""

        name, network = "keras", Network("ab", 1280, 3)

        def __init__(self, *_: object) -> None: ...

    def fail(backbone: Backbone) -> Network:
        raise Unconvertible(backbone.name, "no such operation")

    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path))
    monkeypatch.setattr(choice, "KerasEngine", Stand)
    monkeypatch.setattr(choice, "gpu_seen", lambda: False)
    backbone, said = Backbone.of("mobilenet_v2", weights="none", input_size=32), list[str]()
    first, _ = learn_network(backbone, "keras")
    converted = replace(first, model=network_cache.keep_model(b"a converted network"))
    with monkeypatch.context() as patch:
        patch.setattr(choice, "convert", lambda backbone: converted)
        assert learn_network(backbone, choose_engine("auto", backbone), fall_back=True) == (converted, None)
    monkeypatch.setattr(choice, "convert", fail)
    assert choose_engine("auto", backbone) == "litert"
    network, engine = learn_network(backbone, "litert", said.append, fall_back=True)
    assert engine is not None and engine.name == "keras" and network.unconvertible == "no such operation"
    assert "LiteRT cannot run this network (no such operation)" in said[-1]
    assert choose_engine("auto", backbone) == "keras"
    with pytest.raises(Unconvertible):
        learn_network(backbone, "litert")


def test_changed_weights_are_noticed() -> None:
    backbone = Backbone.of("mobilenet_v2", weights="none", input_size=32)
    other = Network(weights="0" * 64, dim=1280, parameters=1)
    with pytest.raises(UserError, match="they changed since"):
        open_engine("keras", backbone, other)


def test_a_damaged_converted_file_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path))
    backbone = Backbone.of("mobilenet_v2", weights="none", input_size=32)
    first = Network("ab", 1280, 3, network_cache.keep_model(b"a converted network"))
    network_cache.remember(backbone, first)
    assert network_cache.find(backbone) == first
    first.model_path.write_bytes(b"a converted netwerk")
    assert network_cache.find(backbone) is None


def test_keras_engine_runs_on_jax(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The GPU engine keeps to the Keras 3 API; where JAX is installed its rows equal TensorFlow's."""
    pytest.importorskip("jax")
    code = """
import numpy as np
from extract.backbones.backbone import Backbone
from extract.engines.engine import KerasEngine
pixels = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
np.save("rows.npy", KerasEngine(Backbone.of(), 4).embed(pixels))
"""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(tmp_path)
    rows = []
    for backend in ("tensorflow", "jax"):
        environment = os.environ | {"KERAS_BACKEND": backend}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        rows.append(np.load("rows.npy"))
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-3, atol=1e-4)
