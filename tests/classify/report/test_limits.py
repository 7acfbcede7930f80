from dataclasses import replace

import pytest

from classify.limits.checked import Abstaining, Checked, Share
from classify.limits.novelty import Trial
from classify.report.limits import limits_markdown


@pytest.fixture
def found() -> Checked:
    return Checked(
        level=0.9,
        coverage=Share(0.91, 0.84, 0.95, 100),
        classes={"rose": Share(0.95, 0.8, 0.99, 40), "<img src=x>|": Share(0.88, 0.8, 0.94, 60)},
        size=1.25,
        empty=0.02,
        n=400,
        score="relative",
        trial=Trial(0.8, 0.7, 0.9, 5),
        alarms=0.01,
        false_alarms=Share(0.02, 0.01, 0.07, 100),
        least=1 / 401,
        abstaining=(Abstaining(0.05, 0.7, Share(0.9, 0.83, 0.95, 100), Share(0.03, 0.01, 0.09, 90)),),
    )


def test_the_section_has_every_figure_with_n_and_interval(found: Checked) -> None:
    text = limits_markdown(found)
    assert "| all | 91.0% | 84.0% to 95.0% | 100 |" in text
    assert text.index("img src") < text.index("rose")  # the lowest first
    assert r"\<img src=x\>\|" in text
    assert "relative Mahalanobis distance" in text and "AUROC of 0.800 (0.700 to 0.900, over 5 times" in text
    assert "it called 2.0% unknown (1.0% to 7.0%), where 1 % were asked for" in text
    assert "| 5 % | 0.700 | 90.0% | 83.0% to 95.0% | 3.0% | 1.0% to 9.0% | 90 |" in text
    assert "new pictures" in limits_markdown(found, "new pictures")


def test_what_too_few_pictures_cannot_show_is_said(found: Checked) -> None:
    nothing = Trial(float("nan"), float("nan"), float("nan"), 0)
    few = replace(found, coverage=None, n=7, least=1 / 8, trial=nothing, abstaining=())
    text = limits_markdown(few)
    assert "7 independent training pictures cannot show 90 %" in text
    assert "That could not be tried" in text and "nan" not in text
    assert "nothing is unknown at 1 % false alarms: the least that can be asked for is 12.5%" in text
    assert "no threshold can be shown to hold with 7 pictures" in text
