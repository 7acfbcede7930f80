import io
import json
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax
from sklearn.datasets import load_sample_images

from cache.errors import UserError
from classify.models.layers import attach_head, build_model
from classify.models.linear import LinearHead
from classify.models.model_file import FACTS, Artefact, answering, ask, load_model, save_model
from classify.models.resizing import Square, square_names
from extract.backbones.backbone import Backbone
from extract.backbones.network import build_embedder
from extract.pictures.decoding import decode
from extract.settings import Decoding

SIZE = 64
BACKBONE = Backbone.of(input_size=SIZE, pooling="avg")
CLASSES = ("daisy", "rose", "tulip")


@pytest.fixture(scope="module")
def head() -> LinearHead:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(1280, 3)).astype(np.float32) / 10
    return LinearHead("root", kernel, np.array([0.1, 0, -0.1], np.float32), CLASSES)


@pytest.fixture(scope="module")
def artefact(head: LinearHead) -> Artefact:
    return Artefact(build_model(BACKBONE, Decoding(), head), {"classes": list(CLASSES)})


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Six squares of real photographs, (6, 64, 64, 3) uint8."""
    return np.stack(
        [image[i : i + SIZE, 99 : 99 + SIZE] for image in load_sample_images().images for i in (0, 90, 300)]
    )


@pytest.fixture(scope="module")
def file(artefact: Artefact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    save_model(artefact.model, path, artefact.facts)
    return path


@pytest.fixture(scope="module")
def expected(head: LinearHead, pixels: np.ndarray) -> np.ndarray:
    """What embedding and head say, one after the other."""
    embedding = build_embedder(BACKBONE).predict(pixels, verbose=0)
    return softmax(head.logits(embedding), axis=1)


def test_it_answers_as_the_pipeline(artefact: Artefact, pixels: np.ndarray, expected: np.ndarray) -> None:
    received = artefact.probabilities(pixels, batch_size=4)
    assert received.dtype == np.float32 and artefact.classes == CLASSES
    np.testing.assert_allclose(received, expected, atol=1e-5)
    assert artefact.probabilities(pixels[:0]).shape == (0, 3)


def test_what_answers_has_no_normalisations_and_leaves_the_model_alone(
    artefact: Artefact, pixels: np.ndarray, expected: np.ndarray
) -> None:
    before = artefact.probabilities(pixels)
    classifier = answering(artefact.model)
    np.testing.assert_allclose(ask(classifier, [pixels]), expected, atol=1e-5)
    kinds = Counter(type(each).__name__ for each in classifier._flatten_layers())
    assert kinds["Conv2D"] > 30 and not kinds["BatchNormalization"]
    assert any(type(each).__name__ == "BatchNormalization" for each in artefact.model._flatten_layers())
    np.testing.assert_array_equal(artefact.probabilities(pixels), before)


def test_calling_it_like_a_function_is_inference(
    artefact: Artefact, pixels: np.ndarray, expected: np.ndarray
) -> None:
    np.testing.assert_allclose(np.asarray(artefact.model(pixels)), expected, atol=1e-5)


@pytest.mark.parametrize("quality", [None, 95])
def test_whole_pictures_come_out_as_decoded_ones(
    artefact: Artefact, flowers: Path, quality: int | None
) -> None:
    """Within 0.01 of a probability: of JPEGs several times the size, libjpeg decodes a smaller one at once."""
    if quality:
        files = []
        for image in load_sample_images().images:
            buffer = io.BytesIO()
            Image.fromarray(image[:300, :201]).save(buffer, "JPEG", quality=quality)
            files.append(buffer.getvalue())
    else:
        files = [path.read_bytes() for path in sorted((flowers / "daisy").iterdir())[:3]]
    for data in files:
        whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        square = decode(data, SIZE, Decoding("crop"))
        difference = artefact.probabilities(whole[None]) - artefact.probabilities(square[None])
        assert np.abs(difference).max() < 0.01


def test_no_gradient_is_lost_at_zeros(head: LinearHead) -> None:
    import keras
    import tensorflow as tf

    features = keras.Input((2, 2, 1280))
    model = keras.Model(features, attach_head(features, "avg", head))
    assert model.get_layer("logits").get_weights()[0].tolist() == head.kernel.tolist()
    x = tf.Variable(np.pad(np.ones((1, 2, 2, 640), np.float32), ((0, 0), (0, 0), (0, 0), (0, 640))))

    @tf.function(jit_compile=True)  # only XLA makes 0 / 0 of it
    def slope() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x)[:, 0])
        return tape.gradient(loss, x)

    gradient = slope().numpy()
    assert np.isfinite(gradient).all() and gradient[..., :640].any()
    np.testing.assert_allclose(model(x).numpy(), head.logits(x.numpy().mean(axis=(1, 2))), atol=1e-4)


def test_a_saved_model_comes_back(artefact: Artefact, file: Path, pixels: np.ndarray) -> None:
    loaded = load_model(file)
    assert loaded.classes == CLASSES and loaded.facts["format"] == 1
    assert (loaded.probabilities(pixels) == artefact.probabilities(pixels)).all()
    again = file.with_name("again.keras")
    save_model(artefact.model, again, artefact.facts)
    assert again.read_bytes() == file.read_bytes()


def test_plain_keras_loads_it_where_there_is_no_coldframe(
    artefact: Artefact, file: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "pixels.npy", pixels)
    code = (
        "import sys\n"  # where coldframe is installed from this checkout, it is hidden first
        f"sys.path = [path for path in sys.path if path != {str(Path(__file__).parents[3])!r}]\n"
        "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder)]\n"
        "import importlib.util, keras, numpy as np\n"
        "assert not any(map(importlib.util.find_spec, ('cache', 'extract', 'classify')))\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "np.save('answers.npy', model(np.load('pixels.npy')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), artefact.probabilities(pixels), atol=1e-5)


def _rewrite(source: Path, target: Path, facts: dict | None) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if name != FACTS:
                new.writestr(name, old.read(name))
        if facts is not None:
            new.writestr(FACTS, json.dumps(facts))
    return target


def test_what_is_not_ours_or_not_whole_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"without coldframe\.json"):
        load_model(_rewrite(file, tmp_path / "plain.keras", None))
    newer = {"format": 2, "classes": list(CLASSES)}
    with pytest.raises(UserError, match="Update coldframe"):
        load_model(_rewrite(file, tmp_path / "newer.keras", newer))
    with pytest.raises(UserError, match="2 classes for 3 outputs"):
        load_model(_rewrite(file, tmp_path / "other.keras", {"format": 1, "classes": ["a", "b"]}))
    with pytest.raises(UserError, match="Run the command"):
        load_model(tmp_path / "missing.keras")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    flipped = tmp_path / "flipped.keras"
    flipped.write_bytes(data)
    with pytest.raises(UserError, match=r"model\.weights\.h5 is damaged"):
        load_model(flipped)
    flipped.write_bytes(data[:1000])
    with pytest.raises(UserError, match="Run the command"):
        load_model(flipped)


def test_squares_by_either_resizer_have_names_of_their_own() -> None:
    squares = [Square(224, "crop", "fast"), Square(240, "pad", "fast"), Square(224, "crop", "pillow")]
    assert square_names(squares) == ["square_224_crop_fast", "square_240", "square_224_crop_pillow"]
