"""The heads of a run side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cache.frame import COUNT, NUMBER, TEXT, frame
from cache.text import align
from classify.metrics.evaluation import Evaluation
from classify.report.text import setting

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class HeadResult:
    """One line of the leaderboard: what the search chose, how it did on the test part, seconds to fit."""

    name: str
    params: dict[str, Any]
    cv_accuracy: float
    cv_std: float
    evaluation: Evaluation
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the line as the command line's JSON."""
        return {
            "name": self.name,
            "params": self.params,
            "cv_accuracy": self.cv_accuracy,
            "test_accuracy": self.evaluation.accuracy,
            "test_n": self.evaluation.n,
            "ci_low": self.evaluation.ci_low,
            "ci_high": self.evaluation.ci_high,
            "macro_f1": self.evaluation.macro_f1,
            "log_loss": self.evaluation.log_loss,
            "seconds": self.seconds,
        }


def to_frame(results: Sequence[HeadResult]) -> pd.DataFrame:
    """Return heads as a DataFrame, one a row, in the order given.

    Columns: `name` (object: text); `cv_accuracy`, `cv_std` (float64, mean and standard deviation over the folds, 0 to
    1); `test_accuracy` with its 95 % interval `ci_low`, `ci_high` (float64, 0 to 1) and `test_n` (int64, pictures);
    `macro_f1` (float64, 0 to 1); `log_loss` (float64, nats); `seconds` (float64); `params` (object: dict of the chosen
    settings).
    """
    measured = ("cv_accuracy", "cv_std", "test_accuracy", "ci_low", "ci_high")
    columns = {"name": TEXT} | dict.fromkeys(measured, NUMBER) | {"test_n": COUNT}
    columns |= dict.fromkeys(("macro_f1", "log_loss", "seconds"), NUMBER) | {"params": "object"}
    return frame(columns, [each.to_json() | {"cv_std": each.cv_std} for each in results])


def leaderboard(results: Sequence[HeadResult], width: int | None = None) -> str:
    """Format heads, in the order given, as aligned columns; at most `width` letters a line.

    The interval is Wilson's for 95 %; "cv" is the mean and standard deviation of the cross-validated
    accuracy.
    """
    rows = [
        ("head", "test accuracy", "95 % interval", "n", "macro-F1", "log-loss", "cv", "seconds", "settings")
    ]
    for result in results:
        e = result.evaluation
        settings = " ".join(f"{name}={setting(v)}" for name, v in result.params.items())
        rows.append(
            (
                result.name,
                f"{e.accuracy:.1%}",
                f"{e.ci_low:.1%} - {e.ci_high:.1%}",
                str(e.n),
                f"{e.macro_f1:.3f}",
                f"{e.log_loss:.3f}",
                f"{result.cv_accuracy:.1%} ± {result.cv_std:.1%}",
                f"{result.seconds:.1f}",
                settings,
            )
        )
    spare = [rows[0].index(name) for name in ("macro-F1", "log-loss", "seconds")]
    return align(rows, right=range(1, 8), width=width, spare=spare)
