import io
import itertools

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from classify.models.resizing import resample
from extract.pictures.decoding import decode
from extract.settings import RESIZERS, RESIZES, Decoding

SIZE = 48


@pytest.fixture(scope="module", params=itertools.product(RESIZES, RESIZERS), ids="-".join)
def model(request: pytest.FixtureRequest) -> tuple:
    import keras

    resize, resizer = request.param
    pixels = keras.Input((None, None, 3), dtype="uint8")
    return keras.Model(pixels, resample(pixels, SIZE, resize, resizer)), Decoding(resize, resizer=resizer)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shape", [(427, 640), (101, 60), (49, 48), (20, 31), (640, 7)])
def test_it_makes_the_square_that_decoding_makes(model: tuple, shape: tuple[int, int], turned: bool) -> None:
    network, decoding = model
    picture = load_sample_images().images[0][: shape[0], : shape[1]]
    picture = np.ascontiguousarray(picture.transpose(1, 0, 2) if turned else picture)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    expected = decode(buffer.getvalue(), SIZE, decoding).astype(int)
    received = np.asarray(network(picture[None]))[0]
    assert received.dtype == np.uint8 and received.shape == (SIZE, SIZE, 3)
    difference = np.abs(received - expected)
    # Of tall pictures Pillow does the vertical pass first, and of long low ones the other does the horizontal pass
    # first: they round elsewhere than the model.
    height, width = picture.shape[:2]
    swapped = height > width if decoding.resizer == "pillow" else height < SIZE < width
    largest, mean = (2, 0.3) if swapped else (1, 0.01)
    assert difference.max() <= largest and difference.mean() < mean


def test_a_picture_of_the_right_size_is_left_alone(model: tuple) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.uint8)
    assert (np.asarray(model[0](pixels)) == pixels).all()
