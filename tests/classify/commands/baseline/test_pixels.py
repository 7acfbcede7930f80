"""Pictures for training from scratch: the same from memory and from the files, new in each epoch."""

from pathlib import Path

import numpy as np
import pytest

from cache.workspace import Workspace
from classify.commands.baseline.pixels import Pixels
from extract.pictures.augmentation import View
from extract.pictures.files import load
from extract.settings import Decoding


@pytest.mark.parametrize("augment", ["flip", "standard"])
def test_memory_and_files_give_the_views_that_extract_would(tinted: Workspace, augment: str) -> None:
    manifest, rows = tinted.manifest("tints"), np.array([30, 2, 7, 8])
    live, held = (Pixels(manifest, rows, 10, Decoding(), augment, seed=5) for _ in range(2))
    held.hold(lambda line: None)
    numbers = np.array([0, 1, 2, 2])
    pictures = held.take(rows, numbers)
    np.testing.assert_array_equal(pictures, live.take(rows, numbers))
    for picture, row, number in zip(pictures, rows.tolist(), numbers.tolist(), strict=True):
        view = View(augment, number + 1, 5)
        key = manifest.key[row].tobytes()
        expected = load(Path(manifest.root), manifest.paths[row], key, 10, Decoding(), view)
        np.testing.assert_array_equal(picture, expected)
    epochs = [held.take(rows, np.full(4, number)) for number in range(6)]
    assert all(len(np.unique([epoch[i] for epoch in epochs], axis=0)) > 1 for i in range(4))
    side = 15 if augment == "standard" else 10
    assert held.bytes == 4 * side * side * 3


def test_none_is_the_plain_picture_whatever_the_view(tinted: Workspace) -> None:
    manifest, rows = tinted.manifest("tints"), np.arange(3)
    pixels = Pixels(manifest, rows, 12, Decoding(), "none", seed=0)
    expected = [
        load(Path(manifest.root), manifest.paths[i], manifest.key[i].tobytes(), 12, Decoding()) for i in rows
    ]
    np.testing.assert_array_equal(pixels.take(rows, np.array([0, 4, 2])), expected)
