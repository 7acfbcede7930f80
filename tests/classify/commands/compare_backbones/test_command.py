"""`compare-backbones` from the command line to the files it leaves, and `extract --backbone auto`.

Networks are stood in for: one sees the picture's mean colour, the other nothing. tests/test_docs.py runs a real one.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cli
from cache.errors import UserError
from cache.manifest import TRAIN
from cache.workspace import Workspace
from classify.commands.compare_backbones import command, entrants
from classify.commands.compare_backbones.command import compare_backbones
from classify.commands.compare_backbones.options import Contest
from classify.data.split_record import Assignments
from classify.runs.record import record_of
from extract.backbones.backbone import Backbone
from extract.backbones.preprocessing import text_of
from extract.embedding import extractor
from extract.engines import timing
from extract.engines.network_cache import Network

NAMES = ("mobilenet", "mobilenet_v2")
WORDS = ["--weights", "none", "--input-size", "32"]
DIMS = {"mobilenet": 3, "mobilenet_v2": 5}


class Seeing:
    """An engine that stands in for one of the two."""

    name, device, batch_size, lanes = "litert", "cpu", 2, 2

    def __init__(self, backbone: Backbone) -> None:
        self.network = Network(backbone.name.encode().hex().ljust(64, "0"), DIMS[backbone.name], 7)

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        if self.network.dim == 3:
            return pixels.mean(axis=(1, 2), dtype=np.float32)
        return np.ones((len(pixels), 5), np.float32)


@pytest.fixture
def garden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty small pictures of two tints in class folders, and one file that is none."""
    random = np.random.default_rng(0)
    for name, level in (("bright", 200), ("dark", 50)):
        (tmp_path / "tones" / name).mkdir(parents=True)
        for number in range(15):
            pixels = np.clip(level + random.normal(0, 30, (12, 12, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "tones" / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLDFRAME_WORKSPACE", raising=False)
    monkeypatch.setattr(timing, "AT_LEAST", 0.0)
    monkeypatch.setattr(extractor, "learn_network", lambda backbone, *_: (Seeing(backbone).network, None))
    monkeypatch.setattr(extractor, "open_engine", lambda name, backbone, *_: Seeing(backbone))
    monkeypatch.setattr(entrants, "weights_state", lambda name: ("", name == "mobilenet"))
    return tmp_path


def rows(workspace: Workspace) -> dict[str, int]:
    return {store.space.backbone: len(store) for store in workspace.spaces()}


@pytest.mark.figures
def test_whole_command_and_what_later_ones_save(
    garden: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["compare-backbones", "--backbone", ",".join(NAMES), "--sample", "16", *WORDS]
    assert cli.main([*words, "tones", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["n"] == 16 and result["winner"] in NAMES and result["reason"]
    assert {each["backbone"] for each in result["backbones"]} == set(NAMES)
    for each in result["backbones"]:
        assert each["ci_low"] <= each["accuracy"] <= each["ci_high"] and each["milliseconds"] > 0
    dims = {each["backbone"]: each["dim"] for each in result["backbones"]}
    assert dims == DIMS
    assert (result["winner"], result["backbones"][0]["accuracy"]) == ("mobilenet", 1.0)
    assert not result["backbones"][1]["tie"] and result["backbones"][1]["accuracy"] <= 0.5
    run = Path(result["run"])
    assert {path.name for path in run.iterdir()} == {
        "run.json",
        "table.txt",
        "backbones.csv",
        "backbones.png",
    }
    with (run / "backbones.csv").open() as file:
        assert [row["backbone"] for row in csv.DictReader(file)] == [
            each["backbone"] for each in result["backbones"]
        ]
    assert "winner: " in (run / "table.txt").read_text()
    record = record_of(run)
    assert record["parameters"]["sample"] == 16 and len(record["sample"]) == 16
    told = {"resize": "crop", "max_pixels": 64_000_000, "engine": "auto", "batch_size": None}
    assert record["parameters"].items() >= told.items()
    assert {each["engine"] for each in result["backbones"]} == {"litert"}
    workspace = Workspace.locate()
    assert rows(workspace) == dict.fromkeys(NAMES, 16)
    kept = Assignments.load(Assignments.path(workspace.root, "tones", 0, 0.2))
    assert kept is not None and (kept.part == TRAIN).all()
    assert {key.tobytes().hex() for key in kept.key} == set(record["sample"])

    def closed(*_: object, **__: object) -> None:
        raise AssertionError("an engine was opened although everything is known")

    with monkeypatch.context() as patch:
        patch.setattr(extractor, "open_engine", closed)
        assert cli.main([*words, "--json"]) == 0  # the current data set
    again = json.loads(capsys.readouterr().out)
    assert again["backbones"] == result["backbones"] and again["winner"] == result["winner"]

    assert cli.main(["extract", "tones", "--backbone", result["winner"], *WORDS]) == 0
    assert "30 files = 14 embedded + 16 cached" in capsys.readouterr().out


def test_extract_auto_extracts_with_the_winner(garden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["extract", "tones", "--backbone", "auto", *WORDS, "--json"]) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    # All 24 training pictures are in the sample; the test pictures are embedded by extract alone.
    assert (summary["backbone"], summary["cached"], summary["embedded"]) == ("mobilenet", 24, 6)
    assert "winner: mobilenet, it was alone" in printed.err
    assert Workspace.locate().load().space.backbone == "mobilenet"
    assert cli.main(["extract", "tones", "--backbone", "auto", *WORDS, "--shard", "1/2"]) == 1
    assert "with --shard, received auto" in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused_before_anything_is_embedded(garden: Path) -> None:
    workspace = Workspace.locate()
    with pytest.raises(UserError, match="knows none"):
        compare_backbones(workspace, Contest(weights="none"))
    with pytest.raises(UserError, match="Expected a backbone such as"):
        compare_backbones(workspace, Contest(("mobilenet", "mobilnet")), source=garden / "tones")
    with pytest.raises(UserError, match="Name the one backbone"):
        compare_backbones(workspace, Contest(NAMES, weights="my.h5"), source=garden / "tones")
    assert not workspace.exists


def test_of_those_not_named_one_that_fails_is_left_out(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrants, "weights_state", lambda name: ("", name in ("mobilenet", "inception_v3")))
    contest = Contest(weights="none", input_size=32)
    (garden / "tones" / "dark" / "3.png").write_text("no picture")
    outcome, winner = compare_backbones(Workspace.locate(), contest, source=garden / "tones")
    assert winner.name == "mobilenet"
    assert any(note.startswith("inception_v3 left out: Expected an input size") for note in outcome.notes)


def test_two_models_of_one_architecture_are_two(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the name in their spaces; what was asked for, and the weights, tell them apart."""

    class Own(Seeing):
        def __init__(self, backbone: Backbone) -> None:
            self.network = Network(backbone.digest.ljust(64, "0"), 3 if backbone.digest == "bb" else 5, 7)

    def of(name: str, *_: object) -> Backbone:
        digest = {"keras:a": "aa", "keras:b": "bb", "keras:copy": "bb"}[name]
        return Backbone(
            "keras:own-1234", "pretrained", 32, location=name, digest=digest, preprocessing="none"
        )

    monkeypatch.setattr(entrants.Backbone, "of", of)
    monkeypatch.setattr(extractor, "choose_engine", lambda *_: "litert")
    monkeypatch.setattr(extractor, "learn_network", lambda backbone, *_: (Own(backbone).network, None))
    monkeypatch.setattr(extractor, "open_engine", lambda name, backbone, *_: Own(backbone))
    contest = Contest(("keras:a", "keras:b", "keras:copy"))
    outcome, winner = compare_backbones(Workspace.locate(), contest, source=garden / "tones")
    assert [each.backbone for each in outcome.table] == ["keras:b", "keras:a"]
    assert winner.location == outcome.winner.backbone == "keras:b" and outcome.table[0].accuracy == 1
    assert outcome.notes[0] == "keras:copy left out: it is the same network as keras:b"


def test_precisions_and_rows_of_stages_compete(
    garden: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In integers the network is four times as fast; its stage sees the tint, its top nothing."""

    class Staged(Seeing):
        def __init__(self, backbone: Backbone) -> None:
            weights = backbone.precision.encode().hex().ljust(64, "0")
            self.network = Network(weights, 5, 7, parts=[3, 2])
            self.cost = 1.0 if backbone.precision == "int8" else 4.0

        def embed(self, pixels: np.ndarray) -> np.ndarray:
            stage = pixels.mean(axis=(1, 2), dtype=np.float32)
            return np.concatenate([stage, np.ones((len(pixels), 2), np.float32)], axis=1)

    monkeypatch.setattr(extractor, "learn_network", lambda backbone, *_: (Staged(backbone).network, None))
    monkeypatch.setattr(extractor, "open_engine", lambda name, backbone, *_: Staged(backbone))
    monkeypatch.setattr(entrants, "settled", lambda workspace, backbone, *_: backbone)
    monkeypatch.setattr(timing, "milliseconds", lambda engine, pixels: engine.cost)
    words = ["--weights", "none", "--input-size", "32", "--pooling", "stages", "--backbone", "mobilenet"]
    assert cli.main(["compare-backbones", "tones", *words, "--precision", "float32,int8"]) == 0
    told = capsys.readouterr().out
    assert "winner: mobilenet, int8, stages" in told and "mobilenet, stages" in told
    assert cli.main(["compare-backbones", *words, "--precision", "float32,int8", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["winner"], result["precision"], result["pooling"]) == ("mobilenet", "int8", "stages")
    lines = {(each["precision"], each["pooling"]): each for each in result["backbones"]}
    assert len(result["backbones"]) == 4 == len(lines)
    for precision in ("float32", "int8"):
        stages, top = lines[precision, "stages"], lines[precision, "avg"]
        assert stages["accuracy"] == 1.0 > top["accuracy"] and (stages["dim"], top["dim"]) == (5, 2)
        assert stages["space"] == top["space"] and stages["milliseconds"] == top["milliseconds"]
    record = record_of(Path(result["run"]))
    assert record["parameters"]["precisions"] == ["float32", "int8"]
    assert len(Workspace.locate().spaces()) == 2
    words[-1] = "auto"
    assert cli.main(["extract", "tones", *words, "--precision", "int8", "--json"]) == 0
    assert "extracting with mobilenet, int8, stages" in capsys.readouterr().err
    space = Workspace.locate().load().space
    assert (space.precision, space.pooling) == ("int8", "stages:3+2")
    with pytest.raises(UserError, match="float32, float16, int8; received 'int4'"):
        compare_backbones(Workspace.locate(), Contest(("mobilenet",), precisions=("int4",)))


def test_options_of_extract_reach_the_tournament(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(workspace: Workspace, source: Path, *rest: object, **named: object) -> None:
        seen.append((source, rest[-1]))
        raise UserError("that is enough")

    monkeypatch.setattr(command, "survey", spy)
    for words in (["extract", "--backbone", "auto"], ["compare-backbones"]):
        assert cli.main([*words, "tfds:tf_flowers", "--data-dir", "mine"]) == 1
    assert seen == [(Path("tfds:tf_flowers"), "mine")] * 2


@pytest.mark.parametrize("command", [["extract", "--backbone", "auto"], ["compare-backbones"]])
def test_the_preprocessing_asked_for_is_taken(garden: Path, command: list[str]) -> None:
    assert cli.main([*command, "tones", *WORDS, "--preprocessing", "torch"]) == 0
    (store,) = Workspace.locate().spaces()
    assert store.space.preprocessing == text_of("torch") != text_of("tf")


def test_a_sample_that_teaches_nothing_is_refused_before_anything_is_embedded(garden: Path) -> None:
    workspace = Workspace.locate()
    with pytest.raises(UserError, match=r"at least two classes .* received bright \(1\)|dark \(1\)"):
        compare_backbones(workspace, Contest(weights="none", sample=1), source=garden / "tones")
    assert workspace.spaces() == []
