"""The documentation says what the program does: every command line, the README's session, every example and link."""

import __future__

import importlib.util
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from cyclopts import CycloptsError
from scipy.special import softmax

import cli
from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.export.result import Quantised
from classify.commands.finetune.start import trials
from classify.heads import table as heads
from classify.heads.fitting import fitters
from classify.heads.fitting.tasks import Fold, by_fold
from classify.training.settings import Settings
from extract import ImageEmbedder
from extract.backbones import families as families_module
from extract.engines import timing
from extract.pictures.policies import POLICIES
from tests.classify.several import write_network

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GUIDE = (ROOT / "docs/guide.md").read_text("utf-8")
OURS = (["python", "cli.py"], ["coldframe"])
# What other programs are called for; scripts of ours must exist.
OTHERS = {"pip", "pytest", "git", "ruff", "mypy", "cd", "."}
JSON_COMMANDS = [
    "manifest flowers",
    "extract flowers --backbone keras:small.keras --pooling avg --preprocessing unit",
    "show flowers --out grid.png",
    "fit-head --model logreg",
    "report",
    "predict new_photos --sets 90 --evidence 2",
    "evaluate flowers",
    "audit --planted 20% --seeds 1",
    "map",
    "label --simulate --accuracy 60 --seeds 1",
    "finetune --top 1 --epochs 1 --views 0",
    "export --to saved-head --out head.keras",
    "publish --to folder",
    "baseline --epochs 1 --input-size 16",
    "compare-backbones --backbone efficientnet_lite0 --sample 20",
    "backbones",
    "runs ls",
    "runs rm 2",
    "cache ls",
    "cache verify --recompute 2",
    "cache gc",
    "cache export out.h5",
    "cache rm --dataset flowers",
]


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str, language: str = r"\w*") -> list[str]:
    """Fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def command_lines(text: str) -> Iterator[list[str]]:
    """Words of each command in the blocks of a page; output lines are passed over."""
    for block in blocks(text):
        for line in block.splitlines():
            prompt, bare = line.startswith("$ "), line.removeprefix("$ ")
            for part in bare.split(" && "):
                words = shlex.split(part, comments=True) if prompt or _first(bare) else []
                while words and re.match(r"[A-Z_]+=", words[0]):
                    words = words[1:]
                if words:
                    yield words


def _first(line: str) -> bool:
    """Whether a line without a prompt is a command."""
    start = re.sub(r"^([A-Z_]+=\S+ )+", "", line)
    return start.startswith(("python ", "coldframe ")) or start.split(" ")[0] in OTHERS


def our_arguments(words: list[str]) -> list[str] | None:
    return next((words[len(name) :] for name in OURS if words[: len(name)] == name), None)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_line_is_valid(page: Path) -> None:
    for words in command_lines(page.read_text("utf-8")):
        arguments = our_arguments(words)
        if arguments is not None:
            try:
                cli.application().parse_args(arguments)  # runs nothing
            except (CycloptsError, UserError) as error:
                pytest.fail(f"{page.name}: {shlex.join(words)}: {error}")
        elif words[0] == "python":
            script = words[1] == "-m" or (ROOT / words[1]).is_file() or "benchmarks/" in words[1]
            assert script, f"{page.name}: {shlex.join(words)}"
        else:
            assert words[0] in OTHERS, f"{page.name}: {shlex.join(words)}"


def test_the_parser_check_sees_the_commands() -> None:
    seen = [w for page in PAGES for w in command_lines(page.read_text("utf-8")) if our_arguments(w)]
    assert len(seen) > 20
    assert list(command_lines("```sh\n$ coldframe a\nA=b python cli.py c && pytest\noutput\n```\n")) == [
        ["coldframe", "a"],
        ["python", "cli.py", "c"],
        ["pytest"],
    ]


def test_the_fresh_machine_commands_are_word_for_word() -> None:
    found = blocks((ROOT / "README.md").read_text("utf-8"), "sh")
    assert "pip install -e . && python cli.py demo\n" in found
    assert "pip install -e '.[test]' && pytest\n" in found


def section(command: str) -> str:
    found = re.search(rf"^## {re.escape(command)}\n(.*?)(?=^## |\Z)", GUIDE, re.S | re.M)
    assert found, f"docs/guide.md has no section {command!r}"
    return found[1]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_and_option_is_in_the_guide(command: str) -> None:
    text = section(command)
    app = found = cli.application()
    for word in command.split():
        found = found[word]
    with app.app_stack(command.split()):
        arguments = found.assemble_argument_collection().filter_by(parse=True)
    assert [argument.name for argument in arguments if argument.name.startswith("--")]
    for argument in arguments:
        for option in argument.names:
            if argument.index is None and option not in ("*", "--workspace", "--quiet"):
                assert re.search(rf"{option}\b(?!-)", text), f"the guide's {command!r} lacks {option}"
        for choice in argument.get_choices(force=True) or ():
            assert choice in text, f"the guide's {command!r} lacks {choice}"


def test_every_head_is_in_the_guide() -> None:
    assert all(f"`{name}`" in section("fit-head") for name in heads.HEADS)


def test_every_policy_of_views_is_in_the_guide() -> None:
    assert all(f"| `{name}` |" in section("finetune") for name in POLICIES)


def test_the_guide_knows_the_defaults_of_finetune() -> None:
    told = dict(re.findall(r"^\| `--([\w-]+)` \| `?([^|`]+?)`? \|", section("finetune"), re.M))
    valued = [f for f in fields(Settings) if f.default is not None and not isinstance(f.default, bool)]
    defaults = {f.name.replace("_", "-"): f.default for f in valued}
    known = told.keys() & defaults.keys()
    assert len(known) > 12
    for name in known:
        assert told[name] == (
            f"{defaults[name]:g}" if isinstance(defaults[name], float) else str(defaults[name])
        ), name


@pytest.fixture
def garden(few_flowers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the README has it: flowers/ and new_photos/, with one file that is no picture."""
    (tmp_path / "new_photos").mkdir()
    for picture in sorted(few_flowers.rglob("*.jpg"))[::10]:
        shutil.copy2(picture, tmp_path / "new_photos")
    (tmp_path / "new_photos" / "notes.txt").write_text("no picture\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLDFRAME_WORKSPACE", raising=False)
    return tmp_path


@pytest.mark.figures
def test_the_session_of_the_readme_runs(
    garden: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "FOLDS", 2)  # each of five would train as long as all the rest takes
    readme = (ROOT / "README.md").read_text("utf-8")
    session = "".join(f"```\n{block}```\n" for block in blocks(readme, "console"))
    lines = list(command_lines(session))
    commands = ["extract", "extract", "fit-head", "predict", "finetune", "export"]
    assert [words[2] for words in lines] == commands
    told = []
    for words in lines:
        arguments = our_arguments(words)
        arguments = ["999m" if word == "3m" else word for word in arguments or ()]
        if words[2] == "extract":
            arguments += ["--input-size", "64"]  # what is trained on it would set the time
        if words[2] == "fit-head":
            arguments += ["--hidden", "16"]  # on few pictures the widest perceptron would set the time
        # Which of the eight is best on so few pictures is chance, and not all of them can be exported.
        if words[2] == "finetune":
            assert cli.main(["fit-head", "--model", "logreg", "--no-curve"]) == 0
            arguments += ["--run", "runs/003-fit-head", "--epochs", "1", "--views", "0"]  # a minute less
            capsys.readouterr()
        if words[2] == "export":
            arguments += ["--run", "runs/004-finetune"]
        assert cli.main(arguments) == 0, shlex.join(words)
        told.append(capsys.readouterr())
    assert "40 files = 40 embedded + 0 cached" in told[0].out
    assert "40 files = 0 embedded + 40 cached" in told[1].out
    header = next(line for line in session.splitlines() if line.startswith("head "))
    assert told[2].out.splitlines()[0].split() == header.split()
    assert "rejected new_photos/notes.txt: no picture" in told[3].err
    assert told[4].out.splitlines()[0].split()[:2] == ["validation", "test"]
    assert told[5].out.startswith("flowers.tflite: ") and "compared with the run" in told[5].out


def test_every_json_key_is_in_the_guide(
    garden: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "AT_LEAST", 0.0)
    monkeypatch.setattr(trials, "FOLDS", 2)
    write_network(garden / "small.keras", 32, 0)  # another says the same
    text = section("Scripts and --json")
    for command in JSON_COMMANDS:
        assert cli.main([*command.split(), "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        if command.startswith(("extract", "manifest")):
            answer["classes"] = {}  # its keys are the user's own
        for key in set(_keys(answer)) - {"label_3", "probability_3"}:
            assert f"`{key}`" in text, f"{command} --json: {key}"
    assert all(f"`{field.name}`" in text for field in fields(Quantised))


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(inner)


def test_the_cache_is_readable_as_documented(garden: Path) -> None:
    assert cli.main(["extract", "flowers"]) == 0
    found: dict = {}
    examples = blocks((ROOT / "docs/cache-format.md").read_text("utf-8"), "python")
    modules = {line.split()[1] for line in examples[0].splitlines() if line.startswith(("import", "from"))}
    assert modules == {"pathlib", "h5py", "numpy"}
    for example in examples:
        if "head.h5" not in example:  # tests/classify/runs/test_head_arrays.py runs that
            exec(example, found)
    data = Workspace.locate().load()
    np.testing.assert_array_equal(found["X"], data.embedding)
    assert found["paths"] == data.manifest.paths


def test_the_examples_of_extending_work() -> None:
    table = dict(heads.HEADS)
    head, path, backbone = blocks((ROOT / "docs/extending.md").read_text("utf-8"), "python")
    code = compile(
        head, "extending.md", "exec", __future__.annotations.compiler_flag
    )  # as heads.py itself is compiled
    exec(code, {**vars(heads), "HEADS": table})
    (new,) = heads.select(["bayes"], table)
    for name, values in new.grid(1280).items():
        for value in values:
            new.make().set_params(**{name: value})
    names = {"HEADS": table, "np": np, "by_fold": by_fold, "replace": replace}
    exec(path, names)
    rows = np.random.default_rng(0)
    fold = Fold(rows.normal(size=(60, 5)), rows.integers(0, 3, 60), rows.normal(size=(9, 5)), None)
    candidates = list(enumerate({"var_smoothing": value} for value in (1.0, 0.01)))
    given = names["fit_bayes"](new.make()[-1], candidates, fold)
    for (_, ours), (_, plain) in zip(given, fitters.fit_each(new.make()[-1], candidates, fold), strict=True):
        np.testing.assert_allclose(softmax(ours, axis=1), softmax(plain, axis=1), rtol=1e-9)
    families: dict = {}
    exec(backbone, {"FAMILIES": families, "Family": families_module.Family})
    assert families.items() <= families_module.FAMILIES.items()


def test_the_guides_own_head_runs(garden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks(section("fit-head"), "python")
    (garden / "my_heads.py").write_text(example)
    assert cli.main(["extract", "flowers"]) == 0
    assert cli.main(["fit-head", "--model", "my_heads:trees", "--no-curve", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["heads"][0]["name"] == "my_heads:trees"
    assert answer["heads"][0]["params"]["min_samples_leaf"] in (5, 1)


def test_the_guides_model_in_plain_keras_answers(garden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks(section("export"), "python")
    assert "cache" not in example and "extract" not in example
    assert cli.main(["extract", "flowers"]) == 0
    assert cli.main(["fit-head", "--no-curve"]) == 0
    assert cli.main(["export", "--to", "keras", "--out", "classifier.keras"]) == 0
    shutil.copy2(next((garden / "flowers" / "tulip").iterdir()), garden / "photo.jpg")
    capsys.readouterr()
    exec(example, {})
    name, probability = capsys.readouterr().out.split()[-2:]
    assert (garden / "flowers" / name).is_dir() and 0.2 < float(probability) <= 1


def test_the_guides_functions_run(garden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks(section("From Python"), "python")
    shutil.copy2(next((garden / "flowers" / "rose").iterdir()), garden / "flowers" / "rose" / "a.jpg")
    exec(example, {})
    told = capsys.readouterr()
    assert re.search(r"^\d +ridge +0\.\d+", told.out, re.M) and "'rose' 'sunflower' 'tulip']" in told.out
    assert "predict now answers with" in told.err


def test_the_guides_notebook_runs(garden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embedded, arrays = blocks(section("From Python, in a notebook"), "python")
    assert len(embedded.splitlines()) <= 11  # ten lines and a blank one
    exec(embedded, {})
    best = capsys.readouterr().out
    assert re.fullmatch(r"\{'ridgeclassifier__alpha': \d+\} [\d.]+\n", best) and float(best.split()[-1]) > 0.5
    assert cli.main(["extract", "flowers"]) == 0
    assert "40 files = 0 embedded + 40 cached" in capsys.readouterr().out
    parameters = set(ImageEmbedder().get_params())
    assert all(f"`{name}`" in section("From Python, in a notebook") for name in parameters)
    exec(arrays, {})
    assert cli.main(["fit-head", "--no-curve"]) == 0
    assert Workspace.locate().load().name == "digits"


def test_the_guides_tables_are_frames(garden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = section("From Python: tables")
    pictures, results = blocks(text, "python")
    assert cli.main(["extract", "flowers"]) == 0
    capsys.readouterr()
    found: dict = {}
    exec(pictures, found)
    assert re.search(r"^tulip +8 ", capsys.readouterr().out, re.M)
    assert len(found["pictures"]) == len(found["data"].embedding) == 40 and len(found["copies"]) == 0
    assert len(found["roses"]) == 8
    exec(results, found)
    assert re.search(r"^\d +ridge +0\.\d+", capsys.readouterr().out, re.M)
    assert len(found["answers"]) == found["result"].to_frame()["test_n"][0]
    for frame in (found["pictures"], found["result"].to_frame(), found["answers"]):
        assert all(f"`{name}`" in text for name in set(frame) - {"predicted"})


def test_the_guides_table_round_trip_embeds_nothing(garden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["extract", "flowers"]) == 0
    lines = [our_arguments(w) for w in command_lines(section("manifest")) if "labels.csv" in w]
    assert [words[0] for words in lines[-2:] if words] == ["manifest", "extract"]
    for words in lines[-2:]:
        assert words and cli.main(words) == 0
    assert "labels: 40 files = 0 embedded + 40 cached" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_examples_compile_and_import_what_there_is(page: Path) -> None:
    for example in blocks(page.read_text("utf-8"), "python"):
        compile(example, page.name, "exec")
        for line in example.splitlines():
            if re.match(r"from (cache|extract|classify)\b", line):
                exec(line, {})


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.S | re.M)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_named_test_exists(page: Path) -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    text = page.read_text("utf-8")
    for path in re.findall(r"\btests/[\w/]+\.py\b", text):
        assert (ROOT / path).is_file(), f"{page.name}: {path}"
    for name in re.findall(r"`(test_\w+)`", text) if page.parent.name == "decisions" else ():
        assert f"def {name}(" in sources, f"{page.name}: {name}"


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs/decisions"
    listed = set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text("utf-8")))
    assert listed == {path.name for path in folder.glob("[0-9]*.md")}


def test_the_recipes_page_is_what_its_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("recipes", ROOT / "benchmarks/recipes.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script  # dataclasses look their module up
    try:
        spec.loader.exec_module(script)
        written = script.render(json.loads(script.RECORD.read_text("utf-8")))
    finally:
        del sys.modules[spec.name]
    assert script.PAGE.read_text("utf-8") == written
