from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classify.commands.fit_head.curve.learning_curve import LearningCurve, Point
from classify.commands.fit_head.curve.power_law import Forecast
from classify.commands.fit_head.leaderboard import HeadResult
from classify.commands.fit_head.report import Report, markdown, write_report
from classify.metrics.comparison import compare
from classify.metrics.evaluation import evaluate
from classify.metrics.reliability import calibration
from classify.report.text import escape
from tests.classify.metrics.test_evaluation import example
from tests.classify.metrics.test_reliability import drawn

HOSTILE = 'a|b\n# c <script>alert("1")</script> [x](y) `z` *w* \udcff'


@pytest.fixture
def report() -> Report:
    truth, predicted, probability, names = example()
    found = evaluate(truth, predicted, probability, names)
    heads = [
        HeadResult("svm", {"C": 10.0, "gamma": 0.000234375}, 0.9221, 0.01, found, 7.04),
        HeadResult("logreg", {"C": 0.01}, 0.9217, 0.009, found, 123.4),
    ]
    points = tuple(Point(n / 400, n, 0.5 + n / 1000, 0.4, 0.95, np.array([0.5])) for n in (40, 80, 200, 400))
    law = Forecast(0.95, 0.4, 0.5, 40, 400, 0.012, 0.008, 0.02)
    scores, codes = drawn(300)
    return Report(
        title="flowers: svm",
        facts={"Data set": "flowers", "Training part": "2,575 pictures"},
        heads=heads,
        comparisons=[compare("svm", "logreg", truth, predicted, predicted)],
        calibration={
            "out of fold": calibration(scores, codes, 0.5),
            "test part": calibration(scores[:99], codes[:99], 0.5),
        },
        curve=LearningCurve("svm", 500, 5, points, law, ("4 labels (1%) are too few",)),
        notes=["a tie: the intervals overlap"],
    )


def tables(text: str) -> list[list[str]]:
    return [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]


def test_the_page_holds_every_part(report: Report) -> None:
    text = markdown(report)
    e = report.heads[0].evaluation
    for said in (
        "# flowers: svm\n",
        "- Training part: 2,575 pictures",
        "- a tie: the intervals overlap",
        "| svm | C = 10, gamma = 0.000234 |",
        f"{e.balanced_accuracy:.1%} ({e.balanced_low:.1%} to {e.balanced_high:.1%})",
        f"| {e.brier:.3f} | {e.ece:.3f} | 92.2% ± 1.0% | 7.0 |",
        "no difference shown",
        "| out of fold | before | 300 |",
        r"| test part | after (temperature 0.5) | 99 |",
        "would probably bring +1.2 points",
        "| 200 | 50% | 1 | 70.0% | 40.0% to 95.0% |",
        "- 4 labels",
        "(reliability.png)",
        "(learning_curve.png)",
        "(confusion.png)",
    ):
        assert said in text, said
    worst = int(e.recall.argmin())
    assert tables(text)[2][2].startswith(f"| {e.classes[worst]} | {e.support[worst]} |")


def test_every_table_has_as_many_cells_in_each_row(report: Report) -> None:
    found = tables(markdown(report))
    assert len(found) == 4
    for table in found:
        assert len({line.count("|") for line in table}) == 1


def test_names_of_any_kind_stay_text_on_one_line(report: Report) -> None:
    truth, predicted, probability, names = example()
    hostile = np.array([HOSTILE if name == "a" else name for name in names])
    swap = dict(zip(names, hostile, strict=True))
    truth, predicted = (np.array([swap[name] for name in each]) for each in (truth, predicted))
    heads = [
        replace(report.heads[0], name=HOSTILE, evaluation=evaluate(truth, predicted, probability, hostile))
    ]
    text = markdown(replace(report, heads=heads, title=HOSTILE, facts={HOSTILE: HOSTILE}, notes=[HOSTILE]))
    plain = text.replace("\\|", "")
    for table in tables(plain):
        assert len({line.count("|") for line in table}) == 1
    assert "<script>" not in text and "\n# c" not in text and "[x](y)" not in text and "`z`" not in text
    assert text.encode("utf-8").count(b"\\<script\\>") >= 4
    assert escape("a_b\\|") == "a\\_b\\\\\\|" and escape("plain name-1.5") == "plain name-1.5"


def test_parts_that_were_not_computed_are_left_out(report: Report, tmp_path: Path) -> None:
    bare = replace(report, comparisons=(), calibration={}, curve=None, notes=())
    text = markdown(bare)
    for absent in ("Notes", "Probabilities", "More labels", "reliability.png", "learning_curve.png"):
        assert absent not in text
    write_report(tmp_path, bare)
    assert {path.name for path in tmp_path.iterdir()} == {"report.md"}


def test_the_pictures_lie_beside_the_page(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path, report)
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.md",
        "reliability.png",
        "learning_curve.png",
    }
    assert (tmp_path / "report.md").read_text("utf-8") == markdown(report)


def test_a_curve_without_points_is_only_spoken_of(report: Report, tmp_path: Path) -> None:
    nothing = replace(report, curve=LearningCurve("svm", 9, 2, (), None, ("9 labels are too few",)))
    assert "The curve does not say" in markdown(nothing) and "learning_curve.png" not in markdown(nothing)
    write_report(tmp_path, nothing)
    assert not (tmp_path / "learning_curve.png").exists()


def test_of_many_classes_the_worst_are_listed(report: Report) -> None:
    names = np.array([f"{i:03d}" for i in range(300)])
    predicted = names.copy()
    predicted[7] = "000"
    found = evaluate(names, predicted, (predicted[:, None] == names).astype(float), names)
    text = markdown(replace(report, heads=[replace(report.heads[0], evaluation=found)]))
    assert (
        "\n| 007 | 1 | 0.0% |" in text and "\n| 299 |" not in text and "200 classes with the lowest" in text
    )
