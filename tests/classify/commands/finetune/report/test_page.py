from dataclasses import replace
from math import nan

import numpy as np
import pytest

from classify.commands.finetune.report.page import Story, verdict
from classify.metrics.comparison import compare
from classify.metrics.evaluation import Evaluation, evaluate
from classify.training.history import Epoch, History, Interpolation

HOSTILE = 'a|b\n# c <script>alert("1")</script> [x](y) `z` *w* \udcff'
NAMES = np.array(["daisy", "rose", "tulip"])
TRUTH = np.repeat(NAMES, 20)


def answers(wrong: int) -> np.ndarray:
    """The first so many daisies are called roses."""
    found = TRUTH.copy()
    found[:wrong] = NAMES[1]
    return found


def figures(wrong: int, names: np.ndarray = NAMES) -> Evaluation:
    said = names[np.searchsorted(NAMES, answers(wrong))]
    return evaluate(names[np.searchsorted(NAMES, TRUTH)], said, (said[:, None] == names) * 0.7 + 0.1, names)


def history(alpha: float = 0.8, accuracy: float = 0.946) -> History:
    epochs = [Epoch(0, nan, nan, 0.281, 0.921, 0.0, 1.0), Epoch(6, 0.1, 0.95, 0.2, 0.95, 1e-4, 9.0)]
    line = [
        Interpolation(0.0, 0.921, 0.281, 0.271),
        Interpolation(0.8, accuracy, 0.204, 0.194),
        Interpolation(1.0, 0.95, nan, nan),
    ]
    return History(epochs, 6, line, alpha, 386)


@pytest.fixture
def story() -> Story:
    return Story(
        title="flowers",
        facts={"Data set": "flowers"},
        history=history(),
        before=figures(9),
        after=figures(2),
        comparison=compare("fine-tuned", "the head", TRUTH, answers(2), answers(9)),
        notes=["a picture was left out"],
        files={"Curves": "curves.png", "Layers": "layers.svg", "Every epoch": "history (1).csv"},
    )


def tables(text: str) -> list[list[str]]:
    return [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]


def test_the_page_holds_every_part(story: Story) -> None:
    text = story.markdown()
    e = story.after
    for said in (
        "# flowers\n",
        "Fine-tuning lifted validation accuracy from 92.1% to 94.6% (n = 386, 10 pictures more right); kept: epoch 6,",
        "the test part below had no say",
        "| Data set | flowers |",
        "- a picture was left out",
        f"| head | 85.0% | {story.before.ci_low:.1%} to {story.before.ci_high:.1%} | 60 |",
        f"| fine-tuned | 96.7% | {e.ci_low:.1%} to {e.ci_high:.1%} | 60 |",
        "fine-tuned is right on 7 pictures that the head gets wrong",
        "| 0.8 | 94.6% |",
        "| 0.204 | 0.194 | **kept** |",
        "| 1 | 95.0% | 92.3% to 96.8% | not finite | not finite | fine-tuned |",
        "- The last epoch was the best",
        "| daisy | 20 | 55.0% | 90.0% |",
        "- [Every epoch](history%20%281%29.csv)",
        "![Curves](curves.png)\n\n![Layers](layers.svg)",
    ):
        assert said in text, said


def test_a_head_that_is_kept_has_one_line_and_no_comparison(story: Story) -> None:
    text = replace(story, history=history(0.0), after=story.before).markdown()
    assert "Nothing better than the head was found: the head is kept unchanged (alpha 0)" in text
    assert "the same model" in text and "| head, kept unchanged | 85.0% |" in text
    assert "\n| fine-tuned |" not in text and "gets wrong" not in text and "flatters" not in text
    assert (
        "| 0 | 92.1% | 89.0% to 94.4% | 0.281 | 0.271 | head, **kept** |" in text
        and "| daisy | 20 | 55.0% | 34" in text
    )


def test_without_a_paired_comparison_the_intervals_speak(story: Story) -> None:
    assert "The intervals overlap: a tie." in replace(story, comparison=None).markdown()
    far = replace(story, comparison=None, after=figures(0), before=figures(20))
    assert "The intervals do not overlap." in far.markdown()


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [
        (
            0.921,
            "left validation accuracy at 92.1% (n = 386) and took the loss from 0.281 to 0.204; kept: epoch 6",
        ),
        (0.921 + 1 / 386, "lifted validation accuracy from 92.1% to 92.4% (n = 386, 1 picture more right)"),
        (0.91, "lowered validation accuracy from 92.1% to 91.0% (n = 386, 4 pictures fewer right)"),
    ],
)
def test_the_verdict_says_what_happened(accuracy: float, said: str) -> None:
    assert said in verdict(history(accuracy=accuracy))


def test_every_table_has_as_many_cells_in_each_row(story: Story) -> None:
    for each in (story, replace(story, history=history(0.0))):
        found = tables(each.markdown())
        assert len(found) == 4
        for table in found:
            assert len({line.count("|") for line in table}) == 1


def test_names_of_any_kind_stay_text_on_one_line(story: Story) -> None:
    names = np.array([f"0 {HOSTILE}", *NAMES[1:]])
    hostile = replace(
        story,
        title=HOSTILE,
        facts={HOSTILE: HOSTILE},
        before=figures(9, names),
        after=figures(2, names),
        comparison=replace(story.comparison, first=HOSTILE) if story.comparison else None,
        notes=[HOSTILE],
        files={HOSTILE: "a\udcff](b).csv"},
    )
    text = hostile.markdown()
    for table in tables(text.replace("\\|", "")):
        assert len({line.count("|") for line in table}) == 1
    assert "<script>" not in text and "\n# c" not in text and "[x](y)" not in text and "`z`" not in text
    assert text.encode("utf-8").count(b"\\<script\\>") >= 7 and "(a%FF%5D%28b%29.csv)" in text
    assert "[x](y)" not in text


def test_of_many_classes_the_worst_are_listed(story: Story) -> None:
    names = np.array([f"{i:03d}" for i in range(300)])
    said = names.copy()
    said[7] = "000"
    found = evaluate(names, said, (said[:, None] == names).astype(float), names)
    text = replace(story, before=found, after=found).markdown()
    assert (
        "\n| 007 | 1 | 0.0% |" in text and "\n| 299 |" not in text and "200 classes with the lowest" in text
    )
