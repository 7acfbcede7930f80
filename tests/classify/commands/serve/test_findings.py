"""Decisions about an audit are kept, and make a table of their own."""

import csv
from pathlib import Path

import pytest

from cache.errors import UserError
from classify.commands.serve.findings import Decisions

A, B, C = (letter * 64 for letter in "abc")


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """An audit of three pictures: a wrong label, an odd one, and one of which nothing was found."""
    run = tmp_path / "002-audit"
    run.mkdir()
    issues = "path,key,label,kind,suggested_label,why\n"
    issues += f"a.jpg,{A},tulip,label,rose,looks like one\nb.jpg,{B},tulip,outlier,,odd\n,,tulip,class,,few\n"
    (run / "issues.csv").write_text(issues)
    mended = "path,label,split,key,label_was,issues\n"
    mended += f"/p/a.jpg,rose,,{A},tulip,label\n/p/b.jpg,tulip,,{B},,outlier\n/p/c.jpg,'=x,,{C},,\n"
    (run / "mended.csv").write_text(mended)
    return run


def labels(folder: Path) -> dict[str, str]:
    """What mended.csv says."""
    with open(folder / "mended.csv", newline="") as file:
        return {row["path"]: row["label"] for row in csv.DictReader(file)}


def test_what_is_accepted_is_in_the_table_and_the_rest_is_as_it_was(audit: Path, tmp_path: Path) -> None:
    made = Decisions(audit, tmp_path / "kept")
    assert [each.kind for each in made.findings] == ["label", "outlier"] and not (tmp_path / "kept").exists()
    assert made.decide(B, "outlier", "dismissed") == {"accepted": 0, "dismissed": 1}
    assert labels(tmp_path / "kept") == {"/p/a.jpg": "tulip", "/p/b.jpg": "tulip", "/p/c.jpg": "'=x"}
    made.decide(A, "label", "accepted")
    assert labels(tmp_path / "kept")["/p/a.jpg"] == "rose"
    made.decide(B, "outlier", "accepted")
    assert "/p/b.jpg" not in labels(tmp_path / "kept")
    again = Decisions(audit, tmp_path / "kept")
    assert again.counts() == {"accepted": 2, "dismissed": 0}
    again.decide(A, "label", "")
    assert labels(tmp_path / "kept") == {"/p/a.jpg": "tulip", "/p/c.jpg": "'=x"}


def test_what_cannot_be_decided_is_refused(audit: Path, tmp_path: Path) -> None:
    made = Decisions(audit, tmp_path / "kept")
    with pytest.raises(UserError, match="a finding of the audit"):
        made.decide(C, "label", "accepted")
    with pytest.raises(UserError, match="accepted or dismissed"):
        made.decide(A, "label", "perhaps")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "decisions.csv").write_text("other\n1\n")
    with pytest.raises(UserError, match="key, kind and decision"):
        Decisions(audit, tmp_path / "kept")
