import dataclasses
import hashlib
import json
from dataclasses import replace

import pytest

from cache.errors import UserError
from cache.space import TOP, Part, Space, side_by_side, tell_apart


def test_json_is_canonical_and_hashes_to_the_id(space):
    assert space.to_json() == (
        '{"backbone":"tiny","decoder":"fake","dtype":"float32","input_size":8,"pooling":"avg",'
        '"precision":"float32","preprocessing":"none","resize":"crop","view":"plain","weights":"'
        + "0" * 64
        + '"}'
    )
    assert space.id == hashlib.sha256(space.to_json().encode()).hexdigest()
    assert Space.from_json(space.to_json()) == space


def test_every_field_changes_the_id(space):
    ids = {space.id}
    for field in dataclasses.fields(Space):
        value = {"input_size": 9, "dtype": "float16"}.get(field.name, "other é")
        ids.add(dataclasses.replace(space, **{field.name: value}).id)
    assert len(ids) == 1 + len(dataclasses.fields(Space))


@pytest.mark.parametrize(
    "change",
    [{"colour": "grey"}, {"weights": None}, {"input_size": "8"}, {"input_size": True}, {"dtype": "float64"}],
)
def test_other_fields_are_refused(space, change):
    fields = {**json.loads(space.to_json()), **change}
    with pytest.raises(UserError, match="Expected"):
        Space.from_json(json.dumps(fields))


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense"])
def test_not_a_space(text):
    with pytest.raises(UserError, match="Expected a space"):
        Space.from_json(text)


def test_parts_of_a_row_of_stages(space):
    stages = dataclasses.replace(space, pooling="stages:24+40+1280")
    assert stages.parts == (Part("stage1", 0, 24), Part("stage2", 24, 64), Part(TOP, 64, 1344))
    assert Space.from_json(stages.to_json()).parts == stages.parts
    assert (stages.layout, space.layout) == ("stages, 1,344 numbers", "avg")


@pytest.mark.parametrize("pooling", ["avg", "max", "avg@stages", "layer:stages:1+2"])
def test_other_rows_are_one_whole(space, pooling):
    assert dataclasses.replace(space, pooling=pooling).parts == ()


@pytest.mark.parametrize(
    "widths", ["", "8", "8+", "+8", "8++8", "8+0", "8+-1", "08+8", "8+a", "8 + 8", "8+8\n", "8+٨", "9" * 5000]
)
def test_malformed_widths_are_refused(space, widths):
    with pytest.raises(UserError, match="widths"):
        dataclasses.replace(space, pooling=f"stages:{widths}")
    with pytest.raises(UserError, match="widths"):
        Space.from_json(space.to_json().replace('"avg"', json.dumps(f"stages:{widths}")))


def test_spaces_are_told_apart_by_what_differs(space):
    other = replace(space, backbone="tiny_2")
    assert tell_apart([space, other]) == ["tiny", "tiny_2"]
    fine = replace(space, pooling="stages:2+3", precision="int8 of 40 pictures", input_size=9)
    assert tell_apart([space, fine, other]) == [
        "tiny avg 8 pixels float32",
        "tiny stages 9 pixels int8",
        "tiny_2",
    ]
    assert tell_apart([space, replace(space, weights="f" * 64)])[1] == "tiny weights ffffffff"


def test_names_side_by_side_say_once_what_they_begin_with():
    lites = [f"efficientnet_lite{number}" for number in range(3)]
    assert side_by_side(lites) == "efficientnet_lite0 + lite1 + lite2"
    assert side_by_side(lites[:1]) == "efficientnet_lite0"
    assert side_by_side(["resnet50", "efficientnet_lite0"]) == "resnet50 + efficientnet_lite0"
    assert side_by_side(["mobilenet_v2 avg", "mobilenet_v2 stages"]) == "mobilenet_v2 avg + v2 stages"
