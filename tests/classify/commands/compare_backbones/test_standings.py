"""Who wins a tournament: the cheapest of those that tie with the most accurate."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from classify.commands.compare_backbones.plot import WINNER, draw, tournament_png
from classify.commands.compare_backbones.standings import Entry, Outcome, elect, rank
from classify.metrics.intervals import wilson

TRUTH = np.array(["a", "b"] * 100)


def entry(name: str, wrong: int, milliseconds: float) -> Entry:
    answers = TRUTH.copy()
    answers[:wrong] = "c"
    space = sha256(f"{name} {wrong}".encode()).hexdigest()
    return Entry(name, "float32", "avg", space, 224, 1280, 1_000, milliseconds, "litert", answers)


def test_the_cheapest_of_a_tie_wins_and_the_reason_says_so() -> None:
    table = rank([entry("large", 20, 90.0), entry("small", 22, 10.0), entry("tiny", 60, 1.0)], TRUTH, 0)
    assert [each.backbone for each in table] == ["large", "small", "tiny"]
    assert [each.tie for each in table] == [True, True, False]
    low, high = wilson(180, 200)
    first = table[0]
    assert (first.accuracy, first.ci_low, first.ci_high, first.n) == (0.9, float(low), float(high), 200)
    winner, reason = elect(table)
    assert winner.backbone == "small"
    assert "cheapest" in reason and "no difference shown to large" in reason and "1.0 points" in reason
    line = table[2].to_json()
    assert not line["tie"] and line["p"] < 0.001 and line["behind"] == 0.2


def test_a_clear_leader_wins_whatever_it_costs() -> None:
    winner, reason = elect(rank([entry("tiny", 60, 1.0), entry("large", 20, 90.0)], TRUTH, 0))
    assert winner.backbone == "large" and "better than each" in reason
    winner, reason = elect(rank([entry("b", 20, 2.0), entry("a", 20, 1.0)], TRUTH, 0))
    assert winner.backbone == "a" and "the most accurate" in reason
    assert elect(rank([entry("a", 20, 1.0)], TRUTH, 0))[1] == "it was alone"


def test_few_pictures_do_not_elect_a_much_worse_one() -> None:
    """Of 20 pictures four wrong ones are no difference shown, and twenty points."""
    truth = TRUTH[:20]

    def few(name: str, wrong: int, milliseconds: float) -> Entry:
        whole = entry(name, wrong, milliseconds)
        return replace(whole, answers=whole.answers[:20])

    table = rank([few("good", 0, 90.0), few("bad", 4, 1.0)], truth, 0)
    assert table[1].tie and not table[1].close
    winner, reason = elect(table)
    assert winner.backbone == "good" and reason.endswith(
        "no difference shown to bad, but more than 2 points ahead"
    )
    winner, reason = elect(rank([entry("a", 20, 90.0), entry("b", 24, 10.0), entry("c", 25, 1.0)], TRUTH, 0))
    assert winner.backbone == "b" and "of 2 that tie within 2 points" in reason


def test_table_names_every_backbone_and_its_engine(tmp_path: Path) -> None:
    table = rank([entry("large $5", 20, 90.0), replace(entry("small", 22, 10.0), engine="keras")], TRUTH, 0)
    outcome = Outcome(tmp_path, "letters", table[1], "why", table, [])
    text = outcome.to_text()
    assert (
        "90.0%" in text and "-1.0 points, p = " in text and "a tie" in text and "winner: small, why" in text
    )
    first, second = text.splitlines()[1:3]
    assert first.endswith("litert") and second.endswith("keras")
    assert [each["engine"] for each in outcome.to_json()["backbones"]] == ["litert", "keras"]
    lines = outcome.csv().splitlines()
    assert lines[0].startswith("backbone,accuracy,ci_low") and len(lines) == 3


@pytest.mark.figures
def test_plot_shows_every_backbone_and_one_winner() -> None:
    """Two of them have one name, as two models of one architecture may."""
    table = rank([entry("large $5", 20, 90.0), entry("own", 22, 10.0), entry("own", 90, 5.0)], TRUTH, 0)
    figure = draw(table, elect(table)[0], "my $5 flowers")
    (axes,) = figure.axes
    points = [drawn.lines[0] for drawn in axes.containers]
    places = [(line.get_xdata()[0], line.get_ydata()[0]) for line in points]
    assert places == [(90.0, 0.9), (10.0, 0.89), (5.0, 0.55)]
    assert [line.get_marker() for line in points] == ["o", "D", "s"]
    assert [line.get_color() == WINNER for line in points] == [False, True, False]
    for drawn, each in zip(axes.containers, table, strict=True):
        ((low, high),) = drawn.lines[2][0].get_segments()
        np.testing.assert_allclose([low[1], high[1]], [each.ci_low, each.ci_high])
    assert [text.get_text() for text in axes.texts] == ["large $5", "own", "own"]
    assert [text.xy for text in axes.texts] == places
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["no difference shown to the first", "winner", "behind the first"]
    assert axes.get_xscale() == "log" and "200 training pictures" in axes.get_title(loc="left")
    assert "my $5 flowers" in axes.get_title(loc="left")
    assert tournament_png(table[:1], table[0], "flowers").startswith(b"\x89PNG")


def test_a_frame_has_a_row_a_backbone() -> None:
    odd = replace(entry("large", 20, 90.12345), backbone="caf\udce9")
    table = rank([odd, entry("tiny", 60, 1.0)], TRUTH, 0)
    frame = Outcome(Path("r"), "letters", table[0], "why", table, []).to_frame()
    numbers = ["accuracy", "ci_low", "ci_high", "milliseconds", "p", "behind"]
    counts, texts = (
        ["n", "dim", "input_size", "parameters"],
        ["backbone", "engine", "precision", "pooling", "space"],
    )
    assert set(frame) == {*numbers, *counts, *texts, "tie"} and frame["tie"].dtype == bool
    assert (frame[numbers].dtypes == "float64").all() and (frame[counts].dtypes == "int64").all()
    assert (frame[texts].dtypes == "object").all() and frame["backbone"][0] == "caf\udce9"
    assert frame["p"].isna().tolist() == [True, False] and frame["tie"].tolist() == [True, False]
    assert frame["milliseconds"][0] == 90.12345 and frame["behind"].tolist() == [0.0, 0.2]
    empty = Outcome(Path("r"), "letters", table[0], "why", [], []).to_frame()
    assert len(empty) == 0 and (empty.dtypes == frame.dtypes).all()
