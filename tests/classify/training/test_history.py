import csv
from io import StringIO
from math import inf, nan

from classify.training.history import COLUMNS, Epoch, History, Interpolation, history_csv


def test_a_line_an_epoch_and_empty_cells_for_what_is_not_finite() -> None:
    epochs = [
        Epoch(0, nan, nan, 0.28125, 0.921, 0.0, 0.5, 0.275),
        Epoch(1, 0.1234567, 0.9, inf, 0.9, 3e-07, 12.0),
    ]
    data = history_csv(History(epochs, 0, [Interpolation(0, 0.921, 0.28, 0.28)], 0, 386))
    assert data.endswith(b"\n") and b"\r" not in data
    lines = list(csv.reader(StringIO(data.decode())))
    assert lines == [
        [
            "number",
            "loss",
            "accuracy",
            "val_loss",
            "val_accuracy",
            "calibrated_loss",
            "learning_rate",
            "seconds",
        ],
        ["0", "", "", "0.28125", "0.921", "0.275", "0", "0.5"],
        ["1", "0.123457", "0.9", "", "0.9", "", "3e-07", "12"],
    ]


def test_a_frame_has_a_row_an_epoch() -> None:
    epochs = [
        Epoch(0, nan, nan, 0.28125, 0.921, 0.0, 0.5, 0.275),
        Epoch(1, 0.1234567, 0.9, inf, 0.9, 3e-07, 12.0),
    ]
    frame = History(epochs, 0, [], 0, 386).to_frame()
    assert list(frame) == list(COLUMNS)
    assert frame.dtypes.astype(str).tolist() == ["int64", *["float64"] * 7]
    assert frame["loss"].isna().tolist() == [True, False] and frame["loss"][1] == 0.1234567
    assert frame["val_loss"][1] == inf and frame["number"].tolist() == [0, 1]
    assert (History([], 0, [], 0, 0).to_frame().dtypes == frame.dtypes).all()
