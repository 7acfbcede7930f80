import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.dataset import Block
from cache.errors import UserError
from cache.storage.json_file import write_json
from classify.runs.inputs import Input, inputs_of, of_blocks, to_record
from classify.runs.record import of_space, read_record
from tests.classify.samples import SPACE

OTHER = replace(SPACE, backbone="others")
STAGED = replace(SPACE, pooling="stages:2+3+4")


def test_they_come_back_as_they_were(tmp_path: Path) -> None:
    inputs = (Input(STAGED, ("stage1", "top")), Input(SPACE), Input(OTHER))
    write_json(tmp_path / "run.json", {"space": of_space(SPACE), "inputs": to_record(inputs)})
    assert inputs_of(read_record(tmp_path)) == inputs


def test_an_older_run_takes_the_whole_row_of_its_space() -> None:
    (only,) = inputs_of({"space": of_space(SPACE)})
    assert only == Input(SPACE) and only.columns == slice(None)
    assert (only.width(7), str(only)) == (7, "pixels")


def test_parts_are_columns_of_a_row() -> None:
    found = Input(STAGED, ("stage1", "top"))
    assert np.arange(9)[found.columns].tolist() == [0, 1, 5, 6, 7, 8]
    assert (found.width(9), str(found)) == (6, "pixels (stage1, top)")
    assert np.arange(9)[Input(STAGED).columns].tolist() == list(range(9))


def test_blocks_become_inputs_space_by_space() -> None:
    blocks = [
        Block(SPACE, "", 0, 5),
        Block(STAGED, "stage2", 7, 10),
        Block(STAGED, "top", 10, 14),
        Block(OTHER, "", 14, 17),
    ]
    assert of_blocks(blocks) == (Input(SPACE), Input(STAGED, ("stage2", "top")), Input(OTHER))


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
        (to_record([Input(STAGED, ("top", "stage1"))]), "received top, stage1"),
        (to_record([Input(STAGED, ("top", "top"))]), "received top, top"),
        (to_record([Input(STAGED, ("stage3",))]), "parts among stage1, stage2, top"),
        ([{"json": STAGED.to_json().replace("2+3", "2+x")}], "widths of"),
        ([{"json": "{}"}], "a space with the fields"),
    ],
)
def test_inputs_that_no_run_can_have(tmp_path: Path, inputs: list[Any], said: str) -> None:
    write_json(tmp_path / "run.json", {"space": of_space(SPACE), "inputs": inputs})
    with pytest.raises(UserError, match=said):
        inputs_of(read_record(tmp_path))
