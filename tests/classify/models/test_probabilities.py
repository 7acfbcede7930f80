"""A model's answers to the pictures of a test part, in the order asked, and none for a picture that is gone."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from cache.workspace import Workspace
from classify.models import probabilities
from classify.models.layers import with_resizing
from classify.models.model_file import ask
from classify.models.resizing import Square
from extract.commands.manifest import survey
from extract.embedding.progress import Progress
from extract.settings import Decoding


def brightness() -> keras.Model:
    """Says how bright each picture is, and how dark."""
    square = Square(8, *Decoding().rule)
    pixels = keras.Input((8, 8, 3), dtype="uint8", name="square")
    bright = ops.mean(ops.cast(pixels, "float32"), axis=(1, 2, 3)) / 255
    return with_resizing({square: pixels}, ops.stack([bright, 1 - bright], axis=1), "brightness")


def test_answers_are_in_the_order_asked_and_none_for_what_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = [0, 50, 100, 150, 200, 250, 255]
    (tmp_path / "pictures" / "grey").mkdir(parents=True)
    for number, level in enumerate(levels):
        Image.new("RGB", (9, 9), (level,) * 3).save(tmp_path / "pictures" / "grey" / f"{number}.png")
    manifest = survey(Workspace(tmp_path / "workspace"), tmp_path / "pictures", None, Progress()).manifest
    (tmp_path / "pictures" / "grey" / "4.png").unlink()
    Image.new("RGB", (9, 9)).save(tmp_path / "pictures" / "grey" / "6.png")  # another picture by now
    monkeypatch.setattr(probabilities, "CHUNK", 3)
    batches = list[int]()

    def asked(classifier: keras.Model, squares: Sequence[np.ndarray]) -> np.ndarray:
        batches.append(len(squares[0]))
        return ask(classifier, squares)

    monkeypatch.setattr(probabilities, "ask", asked)
    rows, how = np.array([5, 4, 0, 6, 2, 1]), [(8, Decoding())]
    found = probabilities.answer(brightness(), manifest, rows, how, 2, lambda line: None)
    np.testing.assert_allclose(found[:, 0], [250 / 255, np.nan, 0, np.nan, 100 / 255, 50 / 255], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), [1, np.nan, 1, np.nan, 1, 1], atol=1e-6)
    assert batches == [2, 2]
