"""The command line as people and scripts meet it: outputs, exit codes, JSON, and what is imported."""

import contextlib
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

import cli
from cache.errors import UserError
from cache.storage.rejects import Reject
from classify.commands import demo
from classify.commands.demo import write_digits
from classify.commands.finetune import command as finetune
from extract.backbones.backbone import Backbone
from extract.commands import backbones
from extract.engines.choice import learn_network

ROOT = Path(__file__).parents[1]
EXTRACT = {"dataset", "space", "backbone", "engine", "files", "embedded", "cached", "rejected", "seconds"}
EXTRACT |= {"images_per_second"}
HEAD = {"name", "params", "cv_accuracy", "test_accuracy", "test_n", "ci_low", "ci_high", "macro_f1"}
HEAD |= {"log_loss", "seconds"}


def run_apart(*words: object) -> str:
    """Run a command in a process of its own, as people do; returns its standard output."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(*words: object, code: int = 0) -> SimpleNamespace:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        returned = cli.main([*map(str, words)])
    assert returned == code, err.getvalue()
    return SimpleNamespace(stdout=out.getvalue(), stderr=err.getvalue())


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with digits, extracted and fitted once: digits/, w/ (the workspace) and the two JSON answers."""
    folder = tmp_path_factory.mktemp("session")
    write_digits(folder / "digits", 200)
    (folder / "digits" / "3" / "broken.png").write_bytes(b"not a picture")
    learn_network(Backbone.of(), "litert")  # a process of its own would start another to convert it
    (folder / "extract.json").write_text(
        run_apart("extract", folder / "digits", "--json", "--workspace", folder / "w")
    )
    (folder / "fit.json").write_text(
        run_apart(
            "fit-head", "--model", "logreg,svm-linear", "--no-curve", "--json", "--workspace", folder / "w"
        )
    )
    return folder


@pytest.fixture
def few_digits(session: Path, tmp_path: Path) -> Path:
    """Four of each class."""
    for label in sorted(path for path in (session / "digits").iterdir() if path.is_dir()):
        (tmp_path / "digits" / label.name).mkdir(parents=True)
        for picture in sorted(label.glob("0*.png"))[:4]:
            shutil.copy2(picture, tmp_path / "digits" / label.name)
    return tmp_path / "digits"


def test_extract_answers_with_one_object(session: Path) -> None:
    summary = json.loads((session / "extract.json").read_text())
    assert summary.keys() >= EXTRACT
    assert (summary["files"], summary["rejected"]) == (201, 1)
    assert summary["embedded"] + summary["cached"] == 200
    assert summary["rejects"] == [{"path": "3/broken.png", "reason": summary["rejects"][0]["reason"]}]


def test_fit_head_answers_with_one_object_and_writes_a_run(session: Path) -> None:
    answer = json.loads((session / "fit.json").read_text())
    assert answer.keys() >= {"run", "best", "heads"}
    assert all(head.keys() >= HEAD for head in answer["heads"])
    for head in answer["heads"]:
        assert 0 < head["ci_low"] < head["test_accuracy"] < head["ci_high"] < 1
        assert head["test_accuracy"] > 0.6  # chance is 0.1
    folder = Path(answer["run"])
    wanted = {
        "head.joblib",
        "head.h5",
        "scores.h5",
        "run.json",
        "report.json",
        "predictions.csv",
        "confusion.png",
        "confusion.txt",
    }
    assert {path.name for path in folder.iterdir()} >= wanted
    with Image.open(folder / "confusion.png") as image:
        assert min(image.size) > 300
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = next(head for head in answer["heads"] if head["name"] == answer["best"])
    assert len(rows) == best["test_n"]
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert right / len(rows) == pytest.approx(best["test_accuracy"])


def test_predict_gives_csv_and_json(session: Path, tmp_path: Path) -> None:
    new = tmp_path / "new photos\n"
    new.mkdir()
    for number in range(3):
        source = session / "digits" / str(number)
        (new / f"{number}.png").write_bytes(sorted(source.iterdir())[0].read_bytes())
    done = run("predict", new, session / "digits/3/broken.png", "--workspace", session / "w")
    rows = list(csv.DictReader(done.stdout.splitlines(keepends=True)))
    assert list(rows[0])[:3] == ["path", "label", "probability"]
    assert [row["path"] for row in rows] == [str(new / f"{n}.png") for n in range(3)]
    assert [row["label"] for row in rows] == ["0", "1", "2"]
    # Another test may have fitted a better one in this workspace before.
    assert re.search(r"3 pictures classified by \d{3}-fit-head, 1 rejected", done.stderr)
    assert re.search(
        r"answers: \d{3}-fit-head \((logreg|svm-linear) on digits, CV [\d.]+%\), the best on digits",
        done.stderr,
    )
    assert "10 classes: 0, 1, 2" in done.stderr
    records = json.loads(run("predict", new, "--json", "--top", 1, "--workspace", session / "w").stdout)
    assert [set(record) for record in records] == [{"path", "label", "probability", "unknown", "typical"}] * 3
    assert [record["label"] for record in records] == ["0", "1", "2"]


def test_predict_writes_where_it_is_told_and_no_run_without_an_answer(session: Path, tmp_path: Path) -> None:
    where, out = ("--workspace", session / "w"), tmp_path / "deep" / "answers.csv"
    digit = session / "digits/1/0001.png"
    told = run("predict", digit, "--out", out, *where)
    assert out.read_text() == told.stdout and told.stderr.rstrip().endswith(str(out))
    runs = sorted((session / "w" / "runs").iterdir())
    assert "Pass --force" in run("predict", digit, "--out", out, *where, code=1).stderr
    assert "ends in .csv" in run("predict", digit, "--out", tmp_path / "a.txt", *where, code=1).stderr
    assert "all rejected" in run("predict", session / "digits/3/broken.png", *where, code=1).stderr
    assert sorted((session / "w" / "runs").iterdir()) == runs
    run("predict", digit, "--out", out, "--force", "--top", 1, *where)
    assert out.read_text().splitlines()[0] == "path,label,probability,unknown,typical"


def test_strict_finds_fault_with_rejects(session: Path) -> None:
    run("extract", session / "digits", "--strict", "--workspace", session / "w", code=3)
    run("predict", session / "digits/3", "--strict", "--workspace", session / "w", code=3)


def test_heads_of_another_space_are_refused(session: Path) -> None:
    options = ("--workspace", session / "w", "--name", "small", "--backbone", "mobilenet_v2")
    words = ("--weights", "none", "--input-size", 32, "--engine", "keras", "--json")
    space = json.loads(run("extract", session / "digits", *options, *words).stdout)["space"]
    picture = session / "digits/1/0001.png"
    done = run("predict", picture, "--space", space[:8], "--workspace", session / "w", code=1)
    assert "trained in space" in done.stderr and "efficientnet_lite0" in done.stderr
    # Leave the workspace as it was for the other tests.
    run("extract", session / "digits", "--workspace", session / "w")


def test_a_pickled_head_from_elsewhere_needs_trust(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLDFRAME_STATE", str(tmp_path / "state"))  # another machine
    picture, theirs = session / "digits/1/0001.png", json.loads((session / "fit.json").read_text())["run"]
    run("predict", picture, "--run", theirs, "--workspace", tmp_path / "mine")  # arrays run no code
    shutil.copytree(theirs, older := tmp_path / "older")
    (older / "head.h5").unlink()
    theirs = older
    done = run("predict", picture, "--run", theirs, "--workspace", tmp_path / "mine", code=1)
    assert "--trust" in done.stderr
    run("predict", picture, "--run", theirs, "--trust", "--workspace", tmp_path / "mine")
    run("predict", picture, "--run", theirs, "--workspace", tmp_path / "mine")


def test_cache_commands(session: Path, tmp_path: Path) -> None:
    where = ("--workspace", session / "w")
    listing = json.loads(run("cache", "ls", "--json", *where).stdout)
    assert {row["dataset"] for row in listing["datasets"]} >= {"digits"}
    assert "efficientnet_lite0" in run("cache", "ls", *where).stdout
    report = json.loads(run("cache", "verify", "--recompute", 5, "--json", *where).stdout)
    assert (report["damaged"], report["recomputed"], report["differing"]) == ([], 5, 0)
    assert run("cache", "gc", *where).stdout
    out = tmp_path / "digits.h5"
    run("cache", "export", out, *where)
    with h5py.File(out) as file:
        assert file["embedding"].shape == (200, 2048)
        labels = file["classes"].asstr()[:][file["label"][:]]
        assert [path.split("/")[0] for path in file["path"].asstr()[:]] == list(labels)
    assert "which exists" in run("cache", "export", out, *where, code=1).stderr
    run("cache", "export", out, "--force", *where)


def test_a_damaged_shard_is_noticed_and_its_rows_come_back(few_digits: Path, tmp_path: Path) -> None:
    where = ("--workspace", tmp_path / "w")
    run("extract", few_digits, *where)
    shard = next((tmp_path / "w").glob("spaces/*/shards/*.h5"))
    data = bytearray(shard.read_bytes())
    data[-100] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(data)
    done = run("cache", "verify", "--json", *where, code=1)
    assert len(json.loads(done.stdout)["damaged"]) == 1
    again = json.loads(run("extract", few_digits, "--json", *where).stdout)
    assert again["embedded"] > 0
    run("cache", "verify", *where)


def test_a_folder_without_any_picture_is_an_error(session: Path, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "onlytxt" / name).mkdir(parents=True)
        (tmp_path / "onlytxt" / name / "1.txt").write_text(name)
    where = ("--workspace", session / "w")
    before = json.loads((session / "w" / "current.json").read_text())
    done = run("extract", tmp_path / "onlytxt", "--json", *where, code=1)
    assert json.loads(done.stdout)["rejected"] == 2 and done.stderr.count("rejected a/1.txt: ") == 1
    assert "readable picture in onlytxt, received 2 files, all rejected (reasons above)" in done.stderr
    assert json.loads((session / "w" / "current.json").read_text()) == before
    done = run("predict", tmp_path / "onlytxt", *where, code=1)
    assert "at least one readable picture, received 2 files, all rejected" in done.stderr


def test_manifest_surveys_a_folder(session: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.csv"
    facts = json.loads(
        run("manifest", session / "digits", "--out", out, "--json", "--workspace", tmp_path / "w").stdout
    )
    assert facts["files"] == 201 and sum(facts["classes"].values()) == 200
    assert [reject["path"] for reject in facts["rejects"]] == ["3/broken.png"]
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == set(facts["classes"]) and len(rows[0]["key"]) == 64


def test_backbones_lists_what_is_here() -> None:
    rows = json.loads(run("backbones", "--json").stdout)
    here = {row["name"] for row in rows if row["here"]}
    assert here >= {"efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"}
    assert {"mobilenet_v2", "resnet50", "inception_v3"} <= {row["name"] for row in rows}
    assert "resnet50" in run("backbones").stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["extract", "nowhere"], 1, "Expected a folder"),
        (["extract", "."], 1, "class"),
        (["fit-head"], 1, "extract FOLDER/"),
        (["predict", "x.jpg"], 1, "fit-head"),
        (["fit-head", "--model", "magic"], 1, "logreg"),
        (["extract"], 2, "Expected SOURCE, received none"),
        (["extract", ".", "more"], 2, "received more too"),
        (["extract", ".", "--pooling", "x"], 2, "layer:LAYER; received x."),
        (["show", "--grid", "0x3"], 1, "received '0x3'"),
        (["fit-head", "--budget", "0s"], 2, "such as 90s, 5m or 1h, received 0s."),
        (["fit-head", "--hidden", "9,x"], 2, "such as 1024 or 2048,1024, received 9,x."),
        (["fit-head", "--folds", "x"], 2, '"x" into int'),
        (["fit-head", "--fold", "3"], 2, "Did you mean --folds? See `python cli.py fit-head --help`."),
        (["fit-head", "--class-weight", "balance"], 2, 'Did you mean "balanced"?'),
        (["finetune", "--top", "3", "--all"], 2, "received --top and --all."),
        (["cach", "ls"], 2, 'Did you mean "cache"?'),
        (["cache", "list"], 2, "See `python cli.py cache --help`."),
        (["extract", ".", "--shard", "3/2"], 2, "expected I/N"),
        (["extract", ".", "--batch-size", "0"], 2, "above 0"),
        (["nothing"], 2, 'Unknown command "nothing"'),
        (["train", "flowers"], 2, "`fit-head` (a classifier on the cache) or `finetune` (the network)?"),
        (["val"], 2, "Did you mean `evaluate`?"),
        (["/"], 2, "Did you mean `extract /`?"),
        (["cache", "/"], 2, 'Unknown command "/". Available'),
        (["fit-head", "."], 2, "trains on what extract kept: run `extract .` first, then `fit-head`."),
        (
            ["fit-head", "nowhere"],
            2,
            "received nowhere too. It trains on what extract kept: run `extract FOLDER`",
        ),
        (["finetune", "."], 2, "run `extract .` and `fit-head` first, then `finetune`. See"),
    ],
)
def test_mistakes_are_answered(
    words: list[str],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLDFRAME_WORKSPACE", raising=False)
    returned = cli.main(words)
    out, err = capsys.readouterr()
    assert (returned, out) == (code, "") and told in err and len(err.splitlines()) == 1


def test_warm_commands_import_no_tensorflow(session: Path) -> None:
    """One process for all, since starts take the time: what may import less comes first."""
    code = """
import sys, cli
learning = {"sklearn", "joblib", "pandas", "matplotlib", "scipy"}
for words, heavy in (
    ("extract digits", learning),
    ("manifest digits", {"pandas"}),
    ("cache ls", {"pandas"}),
    ("predict digits/1/0001.png", set()),  # scikit-learn imports pandas itself
    ("fit-head --model centroid", set()),
):
    assert cli.main([*words.split(), "--workspace", "w"]) == 0
    assert not ({"tensorflow", "keras", "jax", "torch"} | heavy) & set(sys.modules), words
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=session,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_quick_demo_runs_the_public_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "QUICK", 60)
    done = run("demo", "--quick", "--out", tmp_path / "demo")
    for command in ("$ coldframe extract", "$ coldframe fit-head", "$ coldframe predict"):
        assert command in done.stdout
    assert "60 files = 60 embedded" in done.stdout
    again = run(
        "extract", tmp_path / "demo" / "digits-quick", "--workspace", tmp_path / "demo" / ".coldframe"
    )
    assert "60 files = 0 embedded + 60 cached" in again.stdout


def test_the_demo_takes_a_folder_of_ones_own(few_flowers: Path, tmp_path: Path) -> None:
    done = run("demo", "--quick", "--data", few_flowers, "--out", tmp_path / "demo")
    assert "flowers: 40 files = 40 embedded" in done.stdout


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backbones, "run", interrupt)
    assert cli.main(["backbones"]) == 130
    assert "kept" in capsys.readouterr().err


def test_embeddings_do_not_depend_on_workers_and_batches(few_digits: Path, tmp_path: Path) -> None:
    rows = []
    for number, words in enumerate([("--workers", 1), ("--batch-size", 7, "--workers", 4)]):
        where = ("--workspace", tmp_path / f"w{number}")
        run("extract", few_digits, *words, *where)
        run("cache", "export", tmp_path / f"{number}.h5", *where)
        with h5py.File(tmp_path / f"{number}.h5") as file:
            rows.append(file["embedding"][:])
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("command", ["fit-head", "baseline"])
def test_shares_take_the_place_of_the_test_size(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--split", "80/10/10", "--test-size", "0.3"]) == 2
    assert "received --test-size and --split" in capsys.readouterr().err


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(
    command: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert cli.main([*command.split(), "--help"]) == 0
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert cli.COMMANDS[command].help in told and lines[-1].endswith(cli.COMMANDS[command].example)
    assert max(map(len, lines)) <= width and told.isascii() and "\x1b" not in told
    assert not [line for line in lines if line != line.rstrip()]
    for option in re.split(r"^  (?=\S)", told, flags=re.M)[1:]:
        assert option.count("default") <= 1, option  # said once
        assert len(option.split()) > 1, option  # each has a help


@pytest.mark.parametrize("words", [[], ["cache"]])
def test_without_a_command_the_help_is_shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert "Commands\n" in capsys.readouterr().out


def test_help_for_a_reader_who_has_seen_enough() -> None:
    # The pipe's end is closed before anything is written.
    help = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "extract", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert help.stdout is not None and help.stderr is not None
    help.stdout.close()
    assert (help.wait(), help.stderr.read()) == (0, "")


def options(*words: str) -> Any:
    return cli.application()(words)


def test_words_become_options() -> None:
    first = options("predict", "a", "--top", "1", "./b/", "--top=2", "--json")
    assert (first.paths, first.top, first.json) == (
        ("a", "./b/"),
        2,
        True,
    )  # paths as typed; the last of two counts
    asked = options(
        "extract", "x", "--pooling", "layer:top", "--shard", "2/3", "--views", "2", "--workers", "1"
    )
    assert (asked.backbone.pooling, asked.options.shard, asked.views.number) == ("avg@top", (2, 3), 2)
    fitted = options("fit-head", "--model", "lda,svm", "--hidden", "8,4", "--budget", "5m", "--no-curve")
    assert (fitted.fit.models, fitted.fit.hidden, fitted.fit.budget) == (("lda", "svm"), (8, 4), 300.0)
    assert fitted.no_curve and options("fit-head", "--seed", "-1").fit.seed == -1


@pytest.mark.parametrize(
    ("words", "run"), [([], None), (["--resume"], ""), (["--resume", "1"], "1"), (["--resume="], "")]
)
def test_resume_takes_a_run_or_none(
    words: list[str], run: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        finetune, "finetune", lambda workspace, given, **others: seen.update(others, given=given)
    )
    finetune.run(options("finetune", *words), print)
    assert (seen["resume"], seen["given"], seen["run"]) == (run, {}, None)


def test_of_the_settings_those_count_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(finetune, "finetune", lambda workspace, given, **others: seen.update(given))
    finetune.run(options("finetune", "--epochs", "10", "--all", "--lr", "1e-3"), print)
    assert seen == {"everything": True, "lr": 1e-3}


def test_shells_complete_commands_options_and_values() -> None:
    for shell in ("bash", "zsh", "fish", "powershell"):
        script = cli.application().generate_completion(shell=shell)  # type: ignore[arg-type]
        assert all(word in script for word in ("fit-head", "verify", "max-pixels", "squash"))


def test_quiet_leaves_results_and_errors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def talk(options: Any, say: Any) -> SimpleNamespace:
        say("said")
        print("progress", file=sys.stderr)
        told = {"to_json": lambda: [1], "to_text": lambda: "text", "notes": ["note"], "closing": ["closing"]}
        if options.workspace == "fail":
            raise UserError("nothing left")
        return SimpleNamespace(**told)

    monkeypatch.setattr(backbones, "run", talk)
    assert cli.main(["backbones"]) == 0
    assert capsys.readouterr() == ("text\n", "said\nprogress\nnote\nclosing\n")
    assert cli.main(["backbones", "--quiet"]) == 0
    assert capsys.readouterr() == ("text\n", "")
    assert cli.main(["backbones", "--quiet", "--workspace", "fail"]) == 1
    assert capsys.readouterr() == ("", "error: nothing left\n")


def test_every_command_but_the_demo_can_be_quiet() -> None:
    for command in cli.COMMANDS.values():
        assert ("quiet" in {field.name for field in fields(cli._imported(command.options))}) == (
            command is not cli.COMMANDS["demo"]
        )


def test_a_result_is_told_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    rejects = [Reject(None, f"{n}\n.png", "no picture", "scan") for n in range(cli.SHOWN + 2)]
    told = {"to_json": lambda: [1], "to_text": lambda: "text", "rejects": rejects, "notes": ["note"]}
    result = SimpleNamespace(**told, closing=["closing"])
    assert cli.tell(SimpleNamespace(json=False, strict=False), result) == 0
    out, err = capsys.readouterr()
    assert out == "text\n"
    assert err.splitlines() == [
        *(rf"rejected {n}\n.png: no picture" for n in range(cli.SHOWN)),
        "... and 2 more rejects: --json lists them all",
        "note",
        "closing",
    ]
    assert cli.tell(SimpleNamespace(json=True, strict=True), result) == 3
    assert capsys.readouterr().out == "[1]\n"
    without_strict = SimpleNamespace(json=False)
    assert cli.tell(without_strict, SimpleNamespace(**told, failure=None)) == 0
    assert "rejected" not in capsys.readouterr().err
    assert cli.tell(without_strict, SimpleNamespace(**told, failure="")) == 1
    assert cli.tell(without_strict, SimpleNamespace(**told, interrupted=True)) == 130
    with pytest.raises(UserError, match="nothing left"):
        cli.tell(without_strict, SimpleNamespace(**told, failure="nothing left"))


@pytest.mark.parametrize(
    ("words", "closed"),
    [
        ("backbones", ">/dev/full"),
        ("--help", ">/dev/full"),
        ("cache ls", ">&-"),
        ("nonsense", "2>/dev/full"),
        ("backbones", "</dev/null >&- 2>&-"),
    ],
)
def test_streams_that_take_nothing(words: str, closed: str) -> None:
    line = f'"{sys.executable}" "{ROOT / "cli.py"}" {words} {closed}'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    lost = ">/dev/full" == closed or ">&-" in closed.split()
    assert done.returncode == (2 if words == "nonsense" else int(lost))
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    told = words != "nonsense" and lost and "2>" not in closed
    assert ("error: Could not write to standard output" in done.stderr) == told


@pytest.mark.parametrize("module", ["cyclopts", "h5py"])  # loaded first of all, and by a command
def test_ctrl_c_while_modules_load(module: str, tmp_path: Path) -> None:
    pressed = (
        "signal.signal(signal.SIGINT, signal.default_int_handler)\nos.kill(os.getpid(), signal.SIGINT)\n"
    )
    (tmp_path / f"{module}.py").write_text(f"import os, signal\n{pressed}")
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "cache", "ls", "--workspace", str(tmp_path / "w")],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (130, False), done.stderr


def test_a_terminal_finds_nothing_to_obey(tmp_path: Path) -> None:
    for name in ("plain", "\x1b]0;owned\x07\x1b[31m red\n  999  fake"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "pics" / name / "1\x1b[2J.png")
        (tmp_path / "pics" / name / "2\x1b[2J\n.txt").write_text("no picture")
    done = run("manifest", tmp_path / "pics", "--workspace", tmp_path / "w")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout + done.stderr)
    assert "\n  999  fake" not in done.stdout + done.stderr
