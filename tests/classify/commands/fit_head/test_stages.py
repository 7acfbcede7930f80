"""The time left of fit-head counts refit, test, curve and report, and is not made up."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from classify.commands.fit_head.options import FitOptions
from classify.commands.fit_head.stages import CURVE, PAGES, Stages
from extract.embedding.course import Course

DIVISION: Any = SimpleNamespace(y=np.zeros(320), truth=np.zeros(80))


def test_the_time_left_counts_all_that_comes() -> None:
    now = [0.0]
    stages = Stages(Course(clock=lambda: now[0]))
    stages.search("svm", DIVISION, FitOptions(n_jobs=2))
    assert stages.course.left() == (None, "")
    now[0] = 4.0
    stages.course.step(8, 20)
    refit, curve = 0.5 * 2 * 5 / 4, CURVE * 5 * 0.5
    assert stages.course.left() == (pytest.approx(6.0 + refit + curve + 2 * PAGES), "")
    now[0] = 10.0
    stages.course.step(20, 20)
    assert stages.course.left() == (pytest.approx(refit + curve + 2 * PAGES), "")
    stages.refit()
    assert stages.course.left() == (pytest.approx(refit + curve + 2 * PAGES), "")
    stages.test(DIVISION)
    stages.write(curve=True)
    assert stages.course.left() == (pytest.approx(curve + 2 * PAGES), "")
    stages.curve("svm")
    now[0] = 11.0
    stages.course.step(5, 20)
    assert stages.course.left() == (pytest.approx(3.0 + PAGES), "")
    stages.report()
    assert stages.course.left() == (pytest.approx(PAGES), "")


def test_of_several_heads_only_the_present_one_is_known() -> None:
    now = [0.0]
    stages = Stages(Course(clock=lambda: now[0]))
    for number in (1, 2):
        stages.place(number, 2)
        stages.search("svm", DIVISION, FitOptions())
        now[0] += 4.0
        stages.course.step(8, 20)
        assert stages.course.left() == (pytest.approx(6.0), "svm")
        assert stages.course.words.startswith(f"head {number} of 2: svm")
        stages.refit()
    stages.write(curve=False)
    assert stages.course.left() == (pytest.approx(PAGES), "")
