"""What a run lists of its pictures is read by one function, whatever the pictures are called."""

from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.storage.files import write_file
from classify.commands.predict.predictions import Predictions
from classify.metrics.evaluation import evaluate
from classify.report.text import csv_bytes
from classify.runs.predictions import of_tables, read_pictures, save_evaluation, save_validation, table_of
from tests.classify.metrics.test_evaluation import example

# Python ends a line at more letters than a line feed, and pandas takes some words for missing.
ODD = [
    "caf\udce9.png",
    "a\u2028b\x85c\x0c.png",
    'a,"b".png',
    "line\nbreak.png",
    "cr\rcr.png",
    "NA",
    "",
    "7",
    " x ",
]


def test_predictions_come_back_as_they_were(tmp_path: Path) -> None:
    truth, predicted, probability, names = example(len(ODD))
    evaluation = evaluate(truth, predicted, probability, names)
    save_evaluation(tmp_path, evaluation, ODD, truth, predicted, probability.max(axis=1))
    found = read_pictures(tmp_path / "predictions.csv")
    assert list(found) == ["path", "label", "predicted", "probability"]
    assert found["path"].tolist() == ODD and found["predicted"].tolist() == predicted.tolist()
    np.testing.assert_allclose(found["probability"], probability.max(axis=1), rtol=1e-5)  # six digits
    assert found.dtypes.astype(str).tolist() == ["object", "object", "object", "float64"]


def test_validating_pictures_come_back_as_they_were(tmp_path: Path) -> None:
    save_validation(tmp_path, ODD, np.array(["NA", "1", "", *"abcdef"]))
    found = read_pictures(tmp_path / "validation.csv")
    assert found["path"].tolist() == ODD and found["label"].tolist() == ["NA", "1", "", *"abcdef"]
    save_validation(tmp_path, [], [])
    assert list(read_pictures(tmp_path / "validation.csv")) == ["path", "label"]


def test_what_predict_writes_is_its_frame(tmp_path: Path) -> None:
    share = np.random.default_rng(0).dirichlet([1, 1], len(ODD))
    given = Predictions(ODD, np.array([["5", "a,b"]] * len(ODD)), share)
    write_file(tmp_path / "predictions.csv", csv_bytes(given.csv()))
    found = read_pictures(tmp_path / "predictions.csv")
    assert found.equals(given.to_frame()) and found["probability_2"].dtype == "float64"


def test_a_list_that_is_gone_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        read_pictures(tmp_path / "predictions.csv")


def test_a_list_that_is_not_the_one_the_run_wrote_is_an_error(tmp_path: Path) -> None:
    save_validation(tmp_path, ["a.png", "b.png"], ["cat", "dog"])
    record = of_tables(tmp_path)
    table = tmp_path / "validation.csv"
    assert list(record["tables"]) == ["validation.csv"] and len(record["tables"]["validation.csv"]) == 64
    found = table_of(tmp_path, record, "validation.csv")
    assert found is not None and found.equals(read_pictures(table))
    assert table_of(tmp_path, record, "predictions.csv") is None
    written = table.read_text()
    for wrong in (written.replace("dog", "cat"), written[:12], written + "c.png,cat\n"):
        table.write_text(wrong)
        with pytest.raises(UserError, match="another content"):
            table_of(tmp_path, record, "validation.csv")
        assert table_of(tmp_path, {}, "validation.csv") is not None  # runs of older versions
    table.unlink()
    with pytest.raises(UserError, match="gone"):
        table_of(tmp_path, record, "validation.csv")
    assert table_of(tmp_path, {}, "validation.csv") is None
