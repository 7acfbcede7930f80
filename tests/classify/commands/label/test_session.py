"""A session: what was answered stays, is asked once, comes back with the table, and teaches the head."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.label.labels import Labels
from classify.commands.label.order import RANDOM
from classify.commands.label.pool import Pool
from classify.commands.label.session import Session, to_json
from classify.data.neighbours.cached import neighbours_of


@pytest.fixture
def start(workspace: Workspace, tmp_path: Path) -> Callable[..., Session]:
    """Begin, or go on, with 120 digits, the first two of which are near copies."""
    data = workspace.load()
    data = replace(data, manifest=data.manifest.select(np.arange(120)))
    group = np.maximum(np.arange(120) - 1, 0).astype(np.int32)
    pool = Pool.of(data, group, neighbours_of(data))
    manifest = replace(data.manifest, label=np.full(120, -1, np.int32))
    return lambda **how: Session(manifest, group, pool, Labels(tmp_path / "labels.csv"), **how)


@pytest.fixture
def truth(workspace: Workspace) -> dict[str, str]:
    """Key to class."""
    manifest = workspace.load().manifest
    return {
        key.tobytes().hex(): manifest.classes[code]
        for key, code in zip(manifest.key, manifest.label, strict=True)
    }


def go_on(session: Session, truth: dict[str, str], count: int) -> list[Any]:
    """Answer truly; gives what was asked."""
    asked = []
    for _ in range(count):
        asked.append(session.questions.now())
        key = session.keys[asked[-1].place]
        assert session.answer(key, truth[key])
    return asked


def test_each_picture_is_asked_once_and_one_in_five_is_drawn(
    start: Callable[..., Session], truth: dict[str, str]
) -> None:
    session = start()
    asked = go_on(session, truth, 119)
    session.close()
    assert session.questions.now() is None and len({each.place for each in asked}) == 119
    assert sum(each.drawn == RANDOM for each in asked[:100]) == 20
    found = to_json(session)
    assert found["labels"] == 119 and found["left"] == 0 and found["accuracy_n"] > 30
    assert found["accuracy_low"] < found["accuracy"] < found["accuracy_high"] and found["accuracy"] > 0.6


def test_the_table_brings_everything_back(start: Callable[..., Session], truth: dict[str, str]) -> None:
    session = start()
    go_on(session, truth, 60)
    session.answer(session.keys[session.questions.now().place], "")
    session.close()
    again = start()
    again.close()
    assert to_json(again) == to_json(session) and to_json(again)["skipped"] == 1
    assert again.state.order == session.state.order
    assert again.questions.now().place not in again.state.order
    rows = Labels(again.labels.path).answers
    assert all(each.guess for each in rows[30:60]) and not rows[0].guess


def test_undo_asks_again(start: Callable[..., Session], truth: dict[str, str]) -> None:
    session = start(classes=["7"])
    assert not session.undo()
    asked = go_on(session, truth, 5)
    before = session.state.label.copy()
    assert session.undo() and session.questions.now().place == asked[-1].place
    assert (session.state.label != before).sum() == 1 and session.state.drawn == []
    assert session.undo() and session.questions.now().place == asked[-2].place
    session.close()
    again = start()
    again.close()
    assert again.state.order == session.state.order == [each.place for each in asked[:3]]


def test_two_windows_answer_one_picture_once(start: Callable[..., Session]) -> None:
    session = start()
    key = session.keys[session.questions.now().place]
    assert session.answer(key, "daisy") and not session.answer(key, "rose")
    session.close()
    assert [each.label for each in session.labels.answers] == ["daisy"]


def test_several_at_once_are_of_the_class_that_the_head_says(
    start: Callable[..., Session], truth: dict[str, str]
) -> None:
    session = start()
    assert session.questions.like("3") == []
    go_on(session, truth, 60)
    session.questions.now()
    session.questions.settle()
    places = session.questions.like("3", 6)
    assert len(places) == 6 and not session.state.closed[places].any()
    assert session.accept("3", [session.keys[place] for place in places[:5]]) == 5
    assert session.accept("3", [session.keys[place] for place in places]) == 1
    assert session.state.closed[places].all()
    session.undo()
    assert not session.state.closed[places[5]] and session.state.closed[places[:5]].all()
    session.close()


@pytest.mark.parametrize("label", ["x" * 201, "a\x00b"])
def test_what_is_no_class_is_refused(start: Callable[..., Session], label: str) -> None:
    session = start()
    with pytest.raises(UserError, match="Expected a class"):
        session.answer(session.keys[0], label)
    with pytest.raises(UserError, match="Expected the key"):
        session.answer("../../etc/passwd", "daisy")
    session.close()
    assert not session.labels.path.exists()
