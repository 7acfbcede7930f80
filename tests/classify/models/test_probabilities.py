"""A model's answers to the pictures of a test part, in the order asked, and none for a picture that is gone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.workspace import Workspace
from classify.models import probabilities
from extract.commands.manifest import survey
from extract.embedding.progress import Progress
from extract.settings import Decoding


class Brightness:
    """Says how bright each picture is, and how dark."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def predict_on_batch(self, pixels: np.ndarray) -> np.ndarray:
        assert pixels.shape[1:] == (8, 8, 3) and pixels.dtype == np.uint8
        self.batches.append(len(pixels))
        bright = pixels.mean(axis=(1, 2, 3)) / 255
        return np.stack([bright, 1 - bright], axis=1).astype(np.float32)


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
    model, rows = Brightness(), np.array([5, 4, 0, 6, 2, 1])
    found = probabilities.answer(model, manifest, rows, [(8, Decoding())], 2, lambda line: None)  # type: ignore[arg-type]
    np.testing.assert_allclose(found[:, 0], [250 / 255, np.nan, 0, np.nan, 100 / 255, 50 / 255], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), [1, np.nan, 1, np.nan, 1, 1], atol=1e-6)
    assert model.batches == [2, 2]
