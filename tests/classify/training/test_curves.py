from dataclasses import replace
from io import BytesIO
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from classify.metrics.intervals import wilson
from classify.training.curves import curves_png, interpolation_png
from classify.training.history import Epoch, History, Interpolation

pytestmark = pytest.mark.figures

VAL = (0.92, 0.93, 0.95, 0.94)


def history() -> History:
    epochs = [Epoch(0, nan, nan, 0.28, VAL[0], 0.0, 1.0)]
    epochs += [Epoch(i, 0.3 / i, 0.9 + i / 40, 0.28 - i / 50, VAL[i], 1e-4, 9.0) for i in range(1, 4)]
    line = [Interpolation(a / 10, 0.92 + a / 400, 0.3, 0.28 - a / 200) for a in range(11)]
    return History(epochs, 2, line, 0.8, 400)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved; the PNG files are made all the same."""
    figures = []
    save = Figure.savefig

    def keep(self: Figure, *arguments: Any, **keywords: Any) -> None:
        figures.append(self)
        save(self, *arguments, **keywords)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def panels(figure: Figure) -> list[Any]:
    return figure.axes


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_the_curves_with_the_head_the_start_and_what_is_kept(drawn: list[Figure]) -> None:
    data = curves_png(history(), "svm $\\nope$\n")
    assert Image.open(BytesIO(data)).size == (1375, 594)
    left, right = panels(drawn[0])
    said = texts(drawn[0])
    for text in (
        "the head svm $\\nope$\N{REPLACEMENT CHARACTER}",
        "fine-tuning starts",
        "head\n92.0%",
        "head\n0.280",
    ):
        assert text in said, text
    assert "92.0% with the head, 95.0% after epoch 2" in said and "kept: 0.8 of the way to epoch 2" in said
    assert "(n = 400)" in said
    lines = {line.get_label(): np.asarray(line.get_ydata(), float) for line in left.lines}
    assert lines["validation"] == pytest.approx(VAL)
    assert np.isnan(lines["training, as trained on"][0])
    level = next(line for line in right.lines if line.get_linestyle() == "--")
    assert list(level.get_ydata()) == [0.28, 0.28]
    kept = left.collections[0].get_offsets()[0]
    assert list(kept) == [2, 0.95]
    # The shading is Wilson's interval, lower edge first.
    shade = left.collections[1].get_paths()[0].vertices
    low, high = wilson(np.array(VAL) * 400, np.full(4, 400))
    assert shade[:, 1].min() == pytest.approx(low.min()) and shade[:, 1].max() == pytest.approx(high.max())


def test_the_loss_is_the_one_that_chose_where_it_is_known(drawn: list[Figure]) -> None:
    curves_png(history(), "logreg")
    epochs = [replace(epoch, calibrated_loss=epoch.val_loss / 2) for epoch in history().epochs]
    curves_png(replace(history(), epochs=epochs), "logreg")
    assert "\nLoss (nats), validation:\n0.280 with" in texts(drawn[0])
    assert "\nCalibrated loss (nats), validation:\n0.140 with" in texts(drawn[1])
    (line,) = (line for line in panels(drawn[1])[1].lines if line.get_label() == "validation")
    assert list(line.get_ydata()) == [epoch.val_loss / 2 for epoch in epochs]


def test_titles_stay_on_the_page(drawn: list[Figure]) -> None:
    epochs = [replace(epoch, number=9 + epoch.number, calibrated_loss=9.99) for epoch in history().epochs]
    curves_png(replace(history(), epochs=epochs, best=12), "logreg")
    left, right = (axes.title if axes.title.get_text() else axes._left_title for axes in panels(drawn[0]))
    assert left.get_window_extent().x1 < right.get_window_extent().x0
    assert right.get_window_extent().x1 < drawn[0].bbox.x1
    assert right.get_window_extent().y1 < drawn[0]._suptitle.get_window_extent().y0


def test_a_head_that_nothing_beat_a_loss_that_ran_away_and_many_epochs(drawn: list[Figure]) -> None:
    epochs = [*history().epochs[:2], Epoch(2, inf, 0.2, inf, 0.2, 1.0, 1.0)]
    curves_png(replace(history(), epochs=epochs, best=0, alpha=0.0), "logreg")
    said = texts(drawn[0])
    assert "kept: the head" in said and "after epoch" not in said
    assert panels(drawn[0])[1].get_ylim()[1] < 1
    assert curves_png(replace(history(), epochs=epochs[:1], best=0), "x" * 300).startswith(b"\x89PNG")
    curves_png(replace(history(), alpha=0.0), "logreg")
    assert "kept: the head" in texts(drawn[2]) and "epoch 2" not in texts(drawn[2])
    for axes, level in zip(
        panels(drawn[2]), (0.92, 0.28), strict=True
    ):  # the circle lies on the head, not on epoch 2
        assert list(axes.collections[0].get_offsets()[0]) == pytest.approx([0, level])
    long = [*epochs[:1], *(replace(epochs[1], number=i) for i in range(1, 100))]
    curves_png(replace(history(), epochs=long, best=99), "logreg")
    assert [line.get_marker() for line in panels(drawn[0])[0].lines][-1] == "o"
    assert [line.get_marker() for line in panels(drawn[3])[0].lines][-1] == ""


@pytest.mark.parametrize(
    ("alpha", "verdict"),
    [
        (0.8, "a mixture is kept, alpha 0.8"),
        (0.0, "head is kept unchanged"),
        (1.0, "fine-tuned weights are kept"),
    ],
)
def test_the_line_between_head_and_fine_tuned(drawn: list[Figure], alpha: float, verdict: str) -> None:
    data = interpolation_png(replace(history(), alpha=alpha))
    assert Image.open(BytesIO(data)).size == (935, 726)
    above, below = panels(drawn[0])
    said = texts(drawn[0])
    for text in (verdict, "0\nhead", "1\nfine-tuned", f"chosen: alpha {alpha:.3g}", "(n = 400)"):
        assert text in said, text
    assert list(above.collections[0].get_offsets()[0]) == pytest.approx([alpha, 0.92 + alpha / 40])
    assert list(below.collections[0].get_offsets()[0]) == pytest.approx([alpha, 0.28 - alpha / 20])


def test_no_global_state_of_pyplot() -> None:
    from matplotlib import _pylab_helpers

    curves_png(history(), "svm")
    assert not _pylab_helpers.Gcf.figs
