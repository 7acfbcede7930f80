import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.commands.predict.command import Answers, predict
from classify.commands.predict.options import Asked
from extract.settings import Options
from tests.classify.several import fit, prepare

NINETY, KERAS = Fraction(9, 10), Options(engine="keras")
Say = Callable[[Workspace, Asked], Answers]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 pictures of stripes, two networks, a head on both, and one of an older version."""
    folder = tmp_path_factory.mktemp("limits")
    low, _, top = prepare(folder, 50)
    workspace = Workspace(folder / ".coldframe")
    fit_heads(workspace, FitOptions(models=["logreg"], curve=False), space=f"{low.id},{top.id}")
    from classify.runs.inputs import Input

    fit(workspace, [Input(low)])
    return folder


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(prepared, tmp_path / "work")
    return Workspace(tmp_path / "work" / ".coldframe")


def ask(workspace: Workspace, asked: Asked, run: str = "001-fit-head") -> Answers:
    folder = workspace.root.parent / "stripes"
    return predict(workspace, [folder], run=run, top=1, asked=asked, options=KERAS)


def test_unknown_is_said_unasked_and_the_rest_is_asked_for(workspace: Workspace) -> None:
    plain = ask(workspace, Asked())
    assert plain.predictions.columns == ["path", "label", "probability", "unknown", "typical"]
    for row in plain.records():
        assert row["unknown"] == (row["typical"] <= 0.01) and 0 < row["typical"] <= 1
    full = ask(workspace, Asked(NINETY, Fraction(1, 5), Fraction(1, 20), 2))
    more = [
        "unknown",
        "typical",
        "set",
        "answer",
        "near",
        "near_label",
        "similarity",
        "near_2",
        "near_label_2",
        "similarity_2",
    ]
    assert full.predictions.columns == ["path", "label", "probability", *more]
    rows = full.records()
    assert json.loads(json.dumps(rows)) == rows
    names = set(workspace.manifest("stripes").classes)
    for row in rows:
        assert set(row["set"]) <= names and row["answer"] in ("", row["label"])
        assert row["unknown"] == (row["typical"] <= 0.05)
        assert -1 <= row["similarity_2"] <= row["similarity"] <= 1 + 1e-6
    assert sum(Path(row["path"]).parent.name in row["set"] for row in rows) >= 0.8 * len(rows)
    assert full.file is not None
    with open(full.file, encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == full.predictions.columns and read[0]["set"] == "|".join(rows[0]["set"])
    assert read[0]["unknown"] in ("True", "False")


def test_evidence_of_a_training_picture_is_itself(workspace: Workspace) -> None:
    record = json.loads((workspace.runs / "001-fit-head" / "run.json").read_text())
    rows = ask(workspace, Asked(evidence=3)).records()
    own = [row for row in rows if row["path"].endswith(row["near"])]
    assert len(own) == record["split"]["train"]
    for row in own:
        assert (
            row["similarity"] == pytest.approx(1, abs=1e-5)
            and row["near_label"] == Path(row["path"]).parent.name
        )


def test_evidence_that_is_gone_from_the_cache_is_told(workspace: Workspace, tmp_path: Path) -> None:
    picture = next((workspace.root.parent / "stripes").rglob("*.png"))
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy2(picture, alone)
    for store in workspace.spaces():
        shutil.rmtree(store.folder / "shards", ignore_errors=True)
        for shard in store.folder.glob("*.h5"):
            shard.unlink()
    with pytest.raises(UserError, match=r"but \d+ are no longer in the cache. Run `.*extract .*` and `"):
        predict(workspace, [alone], run="001-fit-head", asked=Asked(evidence=1), options=KERAS)
    assert predict(workspace, [alone], run="001-fit-head", asked=Asked(NINETY), options=KERAS).records()[0][
        "set"
    ]


def test_a_run_of_an_older_version_answers_and_is_told_what_makes_limits(workspace: Workspace) -> None:
    old = "002-fit-head"
    assert ask(workspace, Asked(), old).predictions.columns == ["path", "label", "probability"]
    for asked in (Asked(sets=NINETY), Asked(max_error=NINETY), Asked(false_alarms=NINETY)):
        with pytest.raises(UserError, match=r"found none: an older version .* Run `fit-head` again"):
            ask(workspace, asked, old)
    with pytest.raises(UserError, match=r"Expected scores.h5 .* Run `fit-head"):
        ask(workspace, Asked(evidence=1), old)


def test_what_so_few_pictures_cannot_show_is_refused(workspace: Workspace) -> None:
    for asked, match in (
        (Asked(sets=Fraction(999, 1000)), r"--sets of at most 99"),
        (Asked(max_error=Fraction(1, 1000)), r"--max-error that 1\d\d training pictures can show to hold"),
        (Asked(false_alarms=Fraction(1, 1000)), r"--false-alarms of at least 0.98, which is what 102"),
    ):
        with pytest.raises(UserError, match=match):
            ask(workspace, asked)


def test_lists_are_one_text_in_a_table(workspace: Workspace) -> None:
    answers = ask(workspace, Asked(sets=NINETY))
    both = [["a", "b"], []] + [["c"]] * (len(answers.records()) - 2)
    frame = replace(answers.predictions, more={"set": both, "unknown": [True] * len(both)}).to_frame()
    assert frame["set"].tolist()[:3] == ["a|b", "", "c"] and frame["unknown"].dtype == bool
