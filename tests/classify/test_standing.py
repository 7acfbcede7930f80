"""Who wins a tournament: the cheapest of those that tie with the most accurate."""

from pathlib import Path

import numpy as np

from classify.intervals import wilson
from classify.standing import Entry, Outcome, elect, rank
from classify.tournament_plot import tournament_png

TRUTH = np.array(["a", "b"] * 100)


def entry(name: str, wrong: int, milliseconds: float) -> Entry:
    answers = TRUTH.copy()
    answers[:wrong] = "c"
    return Entry(name, "0" * 64, 224, 1280, 1_000, milliseconds, answers)


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


def test_table_and_plot_show_every_backbone(tmp_path: Path) -> None:
    table = rank([entry("large $5", 20, 90.0), entry("small", 22, 10.0)], TRUTH, 0)
    outcome = Outcome(tmp_path, "letters", "litert", "small", "why", table, [])
    text = outcome.to_text()
    assert (
        "90.0%" in text and "-1.0 points, p = " in text and "a tie" in text and "winner: small, why" in text
    )
    lines = outcome.csv().splitlines()
    assert lines[0].startswith("backbone,accuracy,ci_low") and len(lines) == 3
    assert tournament_png(table, "small").startswith(b"\x89PNG")
    assert tournament_png(table[:1], "large $5").startswith(b"\x89PNG")
