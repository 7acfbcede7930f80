import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from classify.commands.predict.command import Answers
from classify.commands.predict.predictions import Predictions, rank
from classify.heads.calibration import CalibratedHead
from classify.heads.table import HEADS
from classify.report.text import csv_bytes
from classify.runs.head_file import LoadedHead, check_space
from tests.classify.samples import SPACE

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def head(digits: Data) -> CalibratedHead:
    return CalibratedHead(HEADS["logreg"].make().fit(*digits), 0.7)


def answers(head: CalibratedHead, X: np.ndarray, paths: list[str], top: int = 1) -> Predictions:
    probability = head.predict_proba(X) if len(X) else np.empty((0, len(head.classes_)))
    return rank(probability, head.classes_, paths, top)


def test_the_most_probable_classes_come_first(head: CalibratedHead, digits: Data) -> None:
    X = digits[0][:40]
    found = answers(head, X, [f"{i}.png" for i in range(40)], top=3)
    assert ",".join(found.columns) == "path,label,probability,label_2,probability_2,label_3,probability_3"
    assert (found.label[:, 0] == head.predict(X)).all()
    assert (np.diff(found.probability, axis=1) <= 0).all()
    assert (found.probability == np.sort(head.predict_proba(X), axis=1)[:, :-4:-1]).all()
    first = found.records()[5]
    assert first["path"] == "5.png" and first["label_2"] == found.label[5, 1]
    assert isinstance(first["label"], str) and isinstance(first["probability"], float)


def test_more_answers_than_classes_are_all_classes(head: CalibratedHead, digits: Data) -> None:
    found = answers(head, digits[0][:3], list("abc"), top=99)
    assert found.label.shape == (3, 10) and found.probability.sum(axis=1) == pytest.approx(np.ones(3))
    single = replace(found, probability=np.full((3, 10), 0.1, np.float32))
    assert single.csv().splitlines()[1].endswith(",0.1")


def test_odd_file_names_survive_csv(head: CalibratedHead, digits: Data) -> None:
    names = ['a,"b".png', "caf\udce9.png", "line\nbreak.png"]
    data = csv_bytes(answers(head, digits[0][:3], names).csv())
    assert b"caf\xe9.png" in data
    rows = list(csv.reader(StringIO(data.decode("utf-8", "surrogateescape"))))
    assert [row[0] for row in rows[1:]] == names and float(rows[1][2]) <= 1


def test_no_pictures_give_a_header(head: CalibratedHead) -> None:
    assert answers(head, np.empty((0, 64), np.float32), []).csv() == "path,label,probability\n"


def test_no_class_at_all_is_refused(head: CalibratedHead) -> None:
    with pytest.raises(UserError, match="--top of at least 1"):
        answers(head, np.zeros((2, 64), np.float32), ["a", "b"], 0)


def test_another_space_is_refused(head: CalibratedHead) -> None:
    loaded = LoadedHead(head, {"space": {"id": SPACE.id, "json": SPACE.to_json()}}, Path())
    check_space(loaded, [SPACE], 64)
    trained = f"this head was trained in space {SPACE.id[:4]} \\(pixels\\)"
    with pytest.raises(UserError, match=f"width 64, received 512: {trained}. Run .* pixels --pooling none`"):
        check_space(loaded, [SPACE], 512)
    other = replace(SPACE, backbone="other")
    with pytest.raises(UserError, match=f"received space {other.id[:4]} \\(other\\): {trained}"):
        check_space(loaded, [other], 64)


def test_a_frame_has_a_row_a_picture(head: CalibratedHead, digits: Data) -> None:
    names = ["caf\udce9.png", "b.png", "c.png"]
    found = answers(head, digits[0][:3], names, top=2)
    frame = Answers(found, [], Path("f"), Path("r")).to_frame()
    assert list(frame) == found.columns == ["path", "label", "probability", "label_2", "probability_2"]
    assert frame.dtypes.astype(str).tolist() == ["object", "object", "float64", "object", "float64"]
    assert frame["path"].tolist() == names and frame["label_2"][1] == found.label[1, 1]
    assert frame["probability"][2] == pytest.approx(found.probability[2, 0], abs=1e-6)
    none = answers(head, np.empty((0, 64), np.float32), [], top=2).to_frame()
    assert len(none) == 0 and (none.dtypes == frame.dtypes).all()
