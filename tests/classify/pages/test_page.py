"""report.html says what the run's folder says, whatever classes and files are called, and never more than 2 MB."""

import re
import shutil
from pathlib import Path

import pytest

from cache.errors import UserError
from classify.pages.page import write_page
from classify.runs.folder import write_json
from classify.runs.record import read_record
from tests.classify.pages.made import HOSTILE, LONG, RIGHT_TO_LEFT, make_run


def test_the_page_says_what_the_run_says(tmp_path: Path) -> None:
    workspace, run = make_run(tmp_path)
    page = write_page(workspace, run).read_text("utf-8")
    assert "86.7%" in page and "of 30 test pictures get the right answer" in page and "70.3% to 94.7%" in page
    assert (
        "001-fit-head · 2 January 2026, 03:04 UTC" in page and "a note of &lt;b&gt;the run&lt;/b&gt;" in page
    )
    assert page.count(" data-marked>") == 4 and page.count('<td class="file">') == 30
    assert len(re.findall(r"\.t\d+\{background-image:url\(data:image/", page)) == 30


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    workspace, run = make_run(tmp_path)
    before = write_page(workspace, run).read_bytes()
    assert write_page(workspace, run).read_bytes() == before


def test_the_way_to_the_pictures_is_not_told(tmp_path: Path) -> None:
    workspace, run = make_run(tmp_path)
    root = str(tmp_path / "pictures")
    told = {
        "notes": [f"left out: 3 files. `extract {root} --backbone x`"],
        "answered_by": f"{root}/001-fit-head",
    }
    write_json(run / "run.json", {**read_record(run), **told})
    shutil.rmtree(root)
    page = write_page(workspace, run).read_text("utf-8")
    assert "<dt>Pictures</dt><dd><bdi>pictures</bdi>" in page and "they lay below pictures" in page
    assert "`extract pictures --backbone x`" in page and "<bdi>001-fit-head</bdi>" in page
    assert str(tmp_path) not in page and str(tmp_path.parent) not in page


def test_names_are_never_markup(tmp_path: Path) -> None:
    file = "\"quoted\" 'file' <script>alert(1)</script>.png"
    file = file.replace("/", "")
    workspace, run = make_run(tmp_path, (HOSTILE, LONG, RIGHT_TO_LEFT), paths=[file])
    page = write_page(workspace, run).read_text("utf-8")
    assert "<img" not in page and "<script>alert" not in page and page.count("<script>") == 1
    assert (
        "&lt;img src=x onerror=alert(&#34;class&#34;)&gt;" in page and f"<bdi>{RIGHT_TO_LEFT}</bdi>" in page
    )
    assert 'aria-label="&#34;quoted&#34;' in page


def test_three_hundred_large_thumbnails_stay_below_two_megabytes(tmp_path: Path) -> None:
    workspace, run = make_run(tmp_path, n=340, mistakes=200)  # noise, which no codec makes small
    page = write_page(workspace, run).read_bytes()
    assert 200 < page.count(b"background-image:url(data:") <= 300 and 500_000 < len(page) < 2_000_000


def test_without_a_mistake_it_says_so(tmp_path: Path) -> None:
    workspace, run = make_run(tmp_path, mistakes=0)
    page = write_page(workspace, run).read_text("utf-8")
    assert (
        "100.0%" in page
        and "every test picture got the right answer" in page
        and "data-marked" not in re.sub(r"<script>.*</script>", "", page, flags=re.S)
    )


def test_a_class_that_was_not_tested_has_no_recall(tmp_path: Path) -> None:
    page = write_page(*make_run(tmp_path, ("a", "b", "c", "untested"), n=3, mistakes=0)).read_text("utf-8")
    panel = page.partition("<h3><bdi>untested</bdi></h3>")[2].partition("</article>")[0]
    assert (
        "none of its pictures was tested" in panel and "recognised" not in panel and "No mistake" not in panel
    )


def test_pictures_that_are_gone_since_leave_their_names(tmp_path: Path) -> None:
    workspace, run = make_run(tmp_path)
    shutil.rmtree(tmp_path / "pictures")
    page = write_page(workspace, run).read_text("utf-8")
    assert "30 pictures of those on this page cannot be read now" in page and "url(data:" not in page
    assert page.count("<bdi>29.png</bdi>") >= 1


def test_many_classes_make_no_large_page(tmp_path: Path) -> None:
    classes = [f"class {number:04}" for number in range(5_000)]
    workspace, run = make_run(tmp_path, classes, n=40, mistakes=10)
    page = write_page(workspace, run).read_bytes()
    assert (
        len(page) < 1_000_000
        and page.count(b'<article class="panel">') == 24
        and b"200 of 5,000 classes" in page
    )


def test_of_many_pictures_the_table_has_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, run = make_run(tmp_path)
    monkeypatch.setattr("classify.pages.pictures.ROWS", 10)
    page = write_page(workspace, run).read_text("utf-8")
    assert (
        page.count('<td class="file">') == 10
        and "The first 10 of 30" in page
        and page.count(" data-marked>") == 4
    )


@pytest.mark.parametrize(("result", "said"), [({}, "kept: epoch 2"), ({"alpha": 0.0}, "kept: as it began")])
def test_the_course_of_a_training_is_drawn(tmp_path: Path, result: dict[str, float], said: str) -> None:
    workspace, run = make_run(tmp_path)
    header = "number,loss,accuracy,val_loss,val_accuracy,calibrated_loss,learning_rate,seconds"
    rows = ["0,,,0.9,0.5,0.9,0,0", "1,0.8,0.6,0.7,0.6,0.7,0.1,1", "2,0.6,0.7,0.6,0.7,0.6,0.1,1"]
    (run / "history.csv").write_text("\n".join([header, *rows, ""]))
    write_json(run / "run.json", {**read_record(run), "result": {"best_epoch": 2, "val_n": 40, **result}})
    page = write_page(workspace, run).read_text("utf-8")
    assert page.count(f">{said}</text>") == 2 and 'id="training"' in page


def test_a_run_without_answers_is_refused(tmp_path: Path) -> None:
    workspace, run = make_run(tmp_path)
    (run / "predictions.csv").unlink()
    with pytest.raises(UserError, match=r"Expected predictions\.csv as the run wrote it"):
        write_page(workspace, run)
    write_json(run / "run.json", {**read_record(run), "tables": {}})  # as older versions did
    with pytest.raises(UserError, match=r"Expected predictions\.csv with the answers"):
        write_page(workspace, run)


def test_damaged_figures_are_told(tmp_path: Path) -> None:
    workspace, run = make_run(tmp_path)
    (run / "report.json").write_text("{}")
    with pytest.raises(UserError, match="Expected the figures"):
        write_page(workspace, run)
