from pathlib import Path

from classify.commands.fit_head.leaderboard import HeadResult, leaderboard, to_frame
from classify.commands.fit_head.result import FitResult
from classify.metrics.evaluation import evaluate
from tests.classify.metrics.test_evaluation import example


def results() -> list[HeadResult]:
    found = evaluate(*example())
    return [
        HeadResult("svm", {"C": 10.0, "gamma": 0.000234375}, 0.9221, 0.01, found, 7.04),
        HeadResult("logreg", {"C": 0.01}, 0.9217, 0.009, found, 123.4),
    ]


def test_columns_line_up_and_hold_every_figure() -> None:
    lines = leaderboard(results()).splitlines()
    assert len(lines) == 3 and lines[1].startswith("svm   ")
    assert lines[0].index("test accuracy") + len("test accuracy") == lines[1].index("%") + 1
    found = results()[0].evaluation
    interval = f"{found.ci_low:.1%} - {found.ci_high:.1%}"
    for cell in (f"{found.accuracy:.1%}", interval, "200", f"{found.macro_f1:.3f}", f"{found.log_loss:.3f}"):
        assert cell in lines[1]
    assert lines[1].endswith("92.2% ± 1.0%      7.0  C=10 gamma=0.000234")


def test_the_json_has_the_agreed_keys() -> None:
    line = results()[1].to_json()
    assert list(line) == [
        "name",
        "params",
        "cv_accuracy",
        "test_accuracy",
        "test_n",
        "ci_low",
        "ci_high",
        "macro_f1",
        "log_loss",
        "seconds",
    ]
    assert line["test_n"] == 200 and line["test_accuracy"] == results()[1].evaluation.accuracy


def test_a_frame_has_a_row_a_head() -> None:
    frame = FitResult(Path("r"), "svm", "svm", results()).to_frame()
    numbers = [
        "cv_accuracy",
        "cv_std",
        "test_accuracy",
        "ci_low",
        "ci_high",
        "macro_f1",
        "log_loss",
        "seconds",
    ]
    assert set(frame) == {"name", *numbers, "test_n", "params"}
    assert (frame[numbers].dtypes == "float64").all() and frame["test_n"].dtype == "int64"
    found = results()[1]
    row = frame.set_index("name").loc["logreg"]
    assert (row["cv_accuracy"], row["cv_std"], row["params"]) == (0.9217, 0.009, {"C": 0.01})
    assert (row["test_n"], row["ci_high"]) == (200, found.evaluation.ci_high)
    assert frame["seconds"].tolist() == [7.04, 123.4]
    assert len(to_frame([])) == 0 and (to_frame([]).dtypes == frame.dtypes).all()
