"""The time left of finetune counts all folds, the training on all pictures, test and pages."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from classify.commands.finetune.session import PAGES, Stages
from classify.training.settings import Settings
from extract.embedding.course import Course


def started(folds: int, *, refit: bool = False) -> Any:
    trials = [SimpleNamespace(fit=np.zeros(100 if folds == 1 else 80))] * folds
    settings = replace(Settings(), epochs=4, refit=refit)
    return SimpleNamespace(trials=trials, trained=np.zeros(120 if refit else 100), settings=settings)


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def stages(now: list[float]) -> Stages:
    found = Stages(Course(clock=lambda: now[0]), clock=lambda: now[0])
    found.check(live=50, tested=25)
    now[0] = 10.0
    return found


def test_folds_and_the_last_training_are_counted_together(stages: Stages, now: list[float]) -> None:
    stages.train(started(5), 0, None)
    assert stages.course.left() == (None, "")
    now[0] = 20.0
    stages.step(500, "fold 2 of 5, epoch 3 of 4, loss 0.100")
    assert stages.course.left() == (pytest.approx(10.0 * 1500 / 500 + 5.0 + PAGES), "")
    assert "] fold 2 of 5, epoch 3 of 4, loss 0.100, 500 of 2,000 pictures" in stages.course.line()
    stages.finish()
    assert stages.course.left() == (pytest.approx(5.0 + PAGES), "")


@pytest.mark.parametrize(
    ("folds", "refit", "epochs", "chosen", "left"),
    [
        (1, False, 1, None, 300),
        (5, False, 3, 4, 100),
        (1, True, 1, None, 300 + 480),
        (1, True, 1, 3, 240),
    ],
)
def test_what_is_done_is_not_counted_again(
    stages: Stages, now: list[float], folds: int, refit: bool, epochs: int, chosen: int | None, left: int
) -> None:
    stages.train(started(folds, refit=refit), epochs, chosen)
    now[0] = 11.0
    stages.step(left // 2, "epoch")
    assert stages.course.left() == (pytest.approx(1.0 + 5.0 + PAGES), "")


def test_pictures_that_are_skipped_are_not_to_come(stages: Stages, now: list[float]) -> None:
    start = started(1)
    start.settings = replace(start.settings, skip_easy=0.4)
    stages.train(start, 1, None)  # of four epochs the second and third skip 40 each
    now[0] = 11.0
    stages.step(110, "epoch")
    assert stages.course.left() == (pytest.approx(1.0 + 5.0 + PAGES), "")


def test_the_step_that_is_tried_is_no_part_of_the_check(stages: Stages, now: list[float]) -> None:
    stages.try_step()
    assert "trying one step" in stages.course.line()
    now[0] = 40.0
    stages.train(started(1), 0, None)
    stages.finish()
    assert stages.course.left() == (pytest.approx(5.0 + PAGES), "")
