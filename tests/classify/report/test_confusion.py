from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from classify.metrics.evaluation import Evaluation, evaluate
from classify.report.confusion import TEXT_CLASSES, confusion_png, confusion_text
from classify.report.text import printable

pytestmark = pytest.mark.figures


def evaluation(names: list[str], n: int = 300) -> Evaluation:
    rng = np.random.default_rng(0)
    classes = np.unique(np.array(names))
    truth, predicted = classes[rng.integers(0, len(classes), n)], classes[rng.integers(0, len(classes), n)]
    return evaluate(truth, predicted, np.full((n, len(classes)), 1 / len(classes)), classes)


def test_text_shows_the_matrix_and_the_mistakes_in_order() -> None:
    truth, predicted = np.array(list("aaabbb")), np.array(list("abbbba"))
    found = evaluate(truth, predicted, np.full((6, 2), 0.5), np.array(["a", "b"]))
    assert confusion_text(found).splitlines() == [
        "true \\ predicted  a  b",
        "a                 1  2",
        "b                 1  2",
        "",
        "count  true  predicted",
        "    2  a     b",
        "    1  b     a",
    ]


def test_a_wide_matrix_is_listed_only() -> None:
    text = confusion_text(evaluation([f"c{i}" for i in range(TEXT_CLASSES + 1)]))
    assert text.startswith("count")


def test_no_mistakes_are_said() -> None:
    names = np.array(["a", "b"])
    assert confusion_text(evaluate(names, names, np.eye(2), names)).endswith("no mistakes")


@pytest.mark.parametrize("size", [2, 20, 100, 300])
def test_the_picture_grows_with_the_classes_within_reason(size: int) -> None:
    picture = Image.open(BytesIO(confusion_png(evaluation([f"class {i:03d}" for i in range(size)]))))
    assert picture.format == "PNG" and 500 <= picture.height <= 2400
    if size == 100:
        assert picture.height >= 1400  # 14 pixels a name


def test_a_title_of_any_length_stays_over_the_matrix() -> None:
    widths = []
    for title in ("", "logreg on flowers", "$a " * 100, "x" * 300):
        picture = Image.open(BytesIO(confusion_png(evaluation(["a", "b"]), title)))
        widths.append(picture.width)
    assert max(widths) < 1.2 * min(widths)


def test_odd_names_are_drawn_and_printed() -> None:
    names = ["$\\frac{", "a\nb", "caf\udce9", "日本", "x" * 300]
    assert confusion_png(evaluation(names))[:4] == b"\x89PNG"
    confusion_text(evaluation(names)).encode()
    assert printable("a\nb\udce9") == "a\ufffdb\ufffd"
