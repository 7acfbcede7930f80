import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cache.dataset import Block
from cache.errors import UserError
from cache.storage.json_file import write_json
from classify.runs.inputs import Input, inputs_of, of_blocks, to_record
from classify.runs.record import of_space, read_record
from tests.classify.samples import SPACE

OTHER = replace(SPACE, backbone="others")


def test_they_come_back_as_they_were(tmp_path: Path) -> None:
    inputs = (Input(SPACE), Input(OTHER))
    write_json(tmp_path / "run.json", {"space": of_space(SPACE), "inputs": to_record(inputs)})
    assert inputs_of(read_record(tmp_path)) == inputs


def test_an_older_run_takes_the_whole_row_of_its_space() -> None:
    (only,) = inputs_of({"space": of_space(SPACE)})
    assert only == Input(SPACE) and only.columns == slice(None)
    assert (only.width(7), str(only)) == (7, "pixels")


def test_blocks_become_inputs_space_by_space() -> None:
    assert of_blocks([Block(SPACE, "", 0, 5), Block(OTHER, "", 5, 8)]) == (Input(SPACE), Input(OTHER))


@pytest.mark.parametrize(
    "inputs",
    [
        "pixels",
        {"id": "0"},
        [[]],
        ["pixels"],
        [{}],
        [{"json": 3}],
        [{"json": SPACE.to_json(), "parts": "top"}],
        [{"json": SPACE.to_json(), "parts": [1]}],
        [{"json": SPACE.to_json(), "id": 1}],
    ],
)
def test_a_record_with_other_things_there_is_damaged(tmp_path: Path, inputs: Any) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"space": of_space(SPACE), "inputs": inputs}))
    with pytest.raises(UserError, match=r"Expected run\.json of a finished run.*with --run"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "at least one space"),
        (to_record([Input(SPACE), Input(SPACE)]), "each once, received 2"),
        (to_record([Input(SPACE, ("top",))]), "parts among none, in this order, received top"),
        ([{"json": "{}"}], "a space with the fields"),
    ],
)
def test_inputs_that_no_run_can_have(tmp_path: Path, inputs: list[Any], said: str) -> None:
    write_json(tmp_path / "run.json", {"space": of_space(SPACE), "inputs": inputs})
    with pytest.raises(UserError, match=said):
        inputs_of(read_record(tmp_path))
