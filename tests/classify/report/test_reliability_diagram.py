from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from classify.metrics.reliability import calibration
from classify.report import reliability_diagram
from classify.report.reliability_diagram import reliability_png
from tests.classify.metrics.test_reliability import drawn

pytestmark = pytest.mark.figures


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)


def test_the_picture_shows_both_sets_and_what_the_temperature_changed() -> None:
    scores, codes = drawn(500)
    found = calibration(5 * scores, codes, 5.0)
    one = pixels(reliability_png({"out of fold": found}))
    two = pixels(
        reliability_png({"out of fold": found, "test part": calibration(scores[:60], codes[:60], 5.0)})
    )
    orange = [(abs(image - [209, 104, 29]).sum(axis=2) < 30).sum() for image in (one, two)]
    assert orange[0] == 0 and orange[1] > 500
    half = one.shape[1] // 2
    assert (
        one.shape[0] > 500
        and (one[150:-100, 100 : half - 20] != one[150:-100, half + 100 : -20][:, : half - 120]).any()
    )


def test_hollow_points_and_the_title_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = []
    monkeypatch.setattr(reliability_diagram, "png", lambda figure: figures.append(figure) or b"")
    scores, codes = drawn(60)
    reliability_png({"test part": calibration(scores, codes, 1.0)}, "$5 on flowers")
    (figure,) = figures
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["10 pictures or more in this tenth", "fewer than 10: hardly a figure", "as sure as right"]
    assert figure.get_suptitle() == "Probabilities of $5 on flowers"


def test_few_rows_and_one_confidence_can_be_drawn() -> None:
    found = calibration(np.zeros((3, 2)), np.array([0, 1, -1]), 1.0)
    assert reliability_png({"test part": found}).startswith(b"\x89PNG")
