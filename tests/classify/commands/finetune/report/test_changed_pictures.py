import csv
from io import StringIO

import numpy as np

from classify.commands.finetune.report.changed_pictures import changed, changed_csv, to_frame

PATHS = ["same", "mended", "broken", "still", "sure", "un\udcffknown"]
TRUTH = np.array(["rose", "rose", "rose", "rose", "tulip", "lily"])
BEFORE = np.array(["rose", "tulip", "rose", "tulip", "rose", "rose"])
AFTER = np.array(["rose", "rose", "tulip", "daisy", "tulip", "tulip"])
P_BEFORE = np.array([0.9, 0.6, 0.5, 0.4, 0.3, 0.21])
P_AFTER = np.array([0.9, 0.7, 0.8, 0.99, 0.95, 0.123456789])


def test_mended_and_broken_ones_first_and_the_surest_of_each() -> None:
    found = changed(PATHS, TRUTH, BEFORE, AFTER, P_BEFORE, P_AFTER)
    assert [(each.path, each.outcome) for each in found] == [
        ("sure", "mended"),
        ("broken", "broken"),
        ("mended", "mended"),
        ("still", "still wrong"),
        ("un\udcffknown", "still wrong"),
    ]
    first = found[0]
    assert (first.label, first.before, first.after) == ("tulip", "rose", "tulip")
    assert (first.probability_before, first.probability_after) == (0.3, 0.95)


def test_the_table() -> None:
    data = changed_csv(changed(PATHS, TRUTH, BEFORE, AFTER, P_BEFORE, P_AFTER))
    lines = list(csv.reader(StringIO(data.decode("utf-8", "surrogateescape"))))
    assert lines[0][:4] == ["path", "label", "before", "after"]
    assert lines[0][4:] == ["probability_before", "probability_after", "outcome"]
    assert lines[2] == ["broken", "rose", "rose", "tulip", "0.5", "0.8", "broken"]
    assert lines[5] == ["un\udcffknown", "lily", "rose", "tulip", "0.21", "0.123457", "still wrong"]
    assert b"un\xffknown" in data


def test_nothing_changed_is_a_header_alone() -> None:
    found = changed(PATHS, TRUTH, AFTER, AFTER, P_AFTER, P_AFTER)
    assert found == [] and changed_csv(found).count(b"\n") == 1


def test_a_frame_has_a_row_a_picture() -> None:
    frame = to_frame(changed(PATHS, TRUTH, BEFORE, AFTER, P_BEFORE, P_AFTER))
    texts, numbers = ["path", "label", "before", "after"], ["probability_before", "probability_after"]
    assert list(frame) == [*texts, *numbers, "outcome"]
    assert (frame[texts].dtypes == "object").all() and (frame[numbers].dtypes == "float64").all()
    assert frame["path"][4] == "un\udcffknown" and frame["probability_after"][4] == 0.123457
    assert frame["outcome"].value_counts().to_dict() == {"mended": 2, "still wrong": 2, "broken": 1}
    assert (to_frame([]).dtypes == frame.dtypes).all()
