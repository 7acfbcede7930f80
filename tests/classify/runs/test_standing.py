"""Who answers: the best run on the data set that was used last, and it is said."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.runs.folder import best_run, find_run
from classify.runs.record import record_of
from classify.runs.standing import answering
from tests.classify.samples import SPACE, make_manifest

LOGREG = FitOptions(models=("logreg",), curve=False)
CENTROID = replace(LOGREG, models=("centroid",))


def said(workspace: Workspace, named: str | None = None) -> str:
    run = find_run(workspace, named)
    return answering(workspace, run, record_of(run), ["0", "1"], named is not None)


def test_the_end_of_a_fit_says_what_predict_answers_with(workspace: Workspace) -> None:
    first = fit_heads(workspace, LOGREG)
    assert first.closing == [
        f"predict now answers with 001-fit-head (logreg on digits, CV {first.heads[0].cv_accuracy:.1%})"
    ]
    worse = fit_heads(workspace, CENTROID)
    better = f"001-fit-head (logreg on digits, CV {first.heads[0].cv_accuracy:.1%})"
    mine = f"002-fit-head (centroid on digits, CV {worse.heads[0].cv_accuracy:.1%})"
    told = f"predict answers with {better}: better than {mine}. To use this one: predict --run 002-fit-head"
    assert worse.closing == [told]
    assert best_run(workspace) == first.run
    assert (
        said(workspace) == f"answers: {better}, the best on digits, the data set used last; 2 classes: 0, 1"
    )
    assert said(workspace, "002-fit-head") == f"answers: {mine}, which was named; 2 classes: 0, 1"


def test_of_two_data_sets_the_one_used_last_answers(
    workspace: Workspace, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    flowers = fit_heads(workspace, LOGREG).run
    bees = make_manifest(digits[1][300:450].astype(int), tuple("0123456789"), seed=1)
    workspace.store(SPACE).add(bees.key, digits[0][300:450])
    workspace.save_manifest("bees", bees)
    workspace.remember(dataset="bees", space=SPACE.id)  # as `extract bees/` does
    assert best_run(workspace) == flowers  # there is nothing on bees yet, and it is said
    assert "the run fitted last: there is none on bees, so run fit-head to use that" in said(workspace)

    fitted = fit_heads(workspace, CENTROID)
    assert best_run(workspace) == fitted.run and fitted.closing[0].startswith("predict now answers with 002")
    workspace.remember(dataset="digits", space=SPACE.id)  # `extract digits/` again
    assert best_run(workspace) == flowers
    workspace.remember(dataset="bees", space=SPACE.id)
    assert best_run(workspace) == fitted.run
    again = fit_heads(workspace, CENTROID, dataset="digits")
    assert workspace.state()["dataset"] == "digits" and best_run(workspace) == flowers
    assert "better than 003-fit-head" in again.closing[0]


def test_a_workspace_of_before_remembers_one_run(
    workspace: Workspace, build: Callable[..., Workspace], tmp_path: Path
) -> None:
    run = fit_heads(workspace, CENTROID).run
    state = workspace.state()
    (workspace.root / "current.json").unlink()
    workspace.remember(**{name: item for name, item in state.items() if name != "runs"})
    assert best_run(workspace) == run
    workspace.remember(dataset="bees")
    assert best_run(workspace) == run


def test_a_run_that_was_deleted_by_hand_is_told(workspace: Workspace) -> None:
    fit_heads(workspace, CENTROID)
    shutil.rmtree(fit_heads(workspace, LOGREG).run)
    with pytest.raises(
        UserError, match=r"Expected 002-fit-head, .*last ones are 001-fit-head: name one with --run"
    ):
        best_run(workspace)
