"""coldframe from Python: the functions are those of the command line, and a run answers as scikit-learn's do."""

import inspect
import json
import pydoc
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cli
import coldframe
from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.demo import write_digits
from classify.models.model_file import save_model
from classify.models.run_model import open_run

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "python.ipynb"


class Result:
    """What a command returns that has nothing to say."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A current folder with digits/, extracted and fitted once from Python."""
    folder = tmp_path_factory.mktemp("session")
    write_digits(folder / "digits", 120)
    (folder / "digits" / "3" / "broken.png").write_bytes(b"not a picture")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("COLDFRAME_WORKSPACE", raising=False)
        coldframe.extract("digits", resize="squash", input_size=64)
        coldframe.fit_head(model=["centroid", "logreg"], no_curve=True)
        yield folder


def test_importing_is_light() -> None:
    code = (
        "import sys, coldframe\n"
        "names = dir(coldframe)\n"
        "signature = coldframe.fit_head.__signature__\n"
        "heavy = {'numpy', 'h5py', 'PIL', 'tqdm', 'sklearn', 'pandas', 'tensorflow', 'matplotlib'}\n"
        "print(sorted(set(sys.modules) & heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_names_at_once_hide_no_builtin() -> None:
    names: dict[str, object] = {}
    exec("from coldframe import *", names)
    assert "map" not in names and {"audit", "fit_head", "load"} <= set(names)
    assert callable(coldframe.map) and "map" in dir(coldframe)


def test_every_command_is_a_function_with_its_options() -> None:
    functions = {words.replace(" ", "_").replace("-", "_") for words in cli.COMMANDS} - {"demo"}
    assert functions | {"load", "ImageEmbedder", "add_arrays", "Predictor"} <= set(dir(coldframe))
    for name in functions:
        function = getattr(coldframe, name)
        assert function is getattr(coldframe, name) and function.__doc__ and function.__name__ == name
        told = pydoc.render_doc(function, renderer=pydoc.plaintext)
        assert all(f"    {each}\n" in told for each in inspect.signature(function).parameters), name
    known = inspect.signature(coldframe.fit_head).parameters
    assert known["folds"].default == 5 and known["folds"].annotation is int
    assert known["model"].default == ("logreg",) and not {"json", "strict"} & set(known)
    (source, *others) = inspect.signature(coldframe.extract).parameters.values()
    assert source.name == "source" and source.default is inspect.Parameter.empty
    assert {each.kind for each in others} == {inspect.Parameter.KEYWORD_ONLY}
    with pytest.raises(AttributeError, match="nothing"):
        coldframe.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"model": "all"}, ["--model", "all"]),
        ({"model": ["lda", "svm"], "hidden": (8, 4)}, ["--model", "lda,svm", "--hidden", "8,4"]),
        (
            {"budget": 90, "folds": np.int64(3), "no_curve": True},
            ["--budget", "90", "--folds", "3", "--no-curve"],
        ),
        ({"split": (80, 10, 10), "seed": -1, "batch_norm": False}, ["--split", "80/10/10", "--seed", "-1"]),
        (
            {"workspace": Path("a b"), "dataset": "--odd", "jobs": None},
            ["--workspace", "a b", "--dataset=--odd"],
        ),
    ],
)
def test_keywords_mean_what_the_options_mean(
    keywords: dict[str, Any], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(cli, "run", lambda options: seen.append(options) or Result())
    coldframe.fit_head(**keywords)
    assert seen == [cli.application()(["fit-head", *words])]


def test_paths_parts_and_runs_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(cli, "run", lambda options: seen.append(options) or Result())
    coldframe.predict("-a.jpg")
    coldframe.predict([Path("a"), "b"], top=1)
    coldframe.extract("x", shard=(2, 3))
    coldframe.finetune(resume=True)
    coldframe.finetune(resume="1")
    one, two, part, resumed, named = seen
    assert (one.paths, two.paths, two.top, part.options.shard) == (("-a.jpg",), ("a", "b"), 1, (2, 3))
    assert resumed.resume is True and named.resume == "1"


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"modle": "all"}, TypeError, r"received modle. Did you mean model\? Known: workspace"),
        ({"folds": "many"}, UserError, 'folds: unable to convert "many" into int'),
        ({"folds": 0}, UserError, "above 0"),
        ({"folds": True}, UserError, "folds"),
        (
            {"split": "80/20", "test_size": 0.3},
            UserError,
            "one of test_size, split; received test_size and split",
        ),
        ({"class_weight": "blanced"}, UserError, "class_weight.*balanced"),
        ({"seed": {}}, UserError, "text or a number for seed, received a dict"),
    ],
)
def test_what_the_command_line_refuses_is_refused(
    keywords: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        coldframe.fit_head(**keywords)


def test_results_come_back_as_tables_and_show_their_text(
    session: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = coldframe.predict(["digits/3", "digits/4"], top=1)
    frame = found.to_frame()
    told = capsys.readouterr()
    assert list(frame) == ["path", "label", "probability", "unknown", "typical"]
    assert len(frame) == len(found.predictions.paths)
    assert (
        "answers: 001-fit-head" in told.err and "rejected digits/3/broken.png" in told.err and told.out == ""
    )
    shown: list[str] = []
    found._repr_pretty_(type("Printer", (), {"text": lambda self, text: shown.append(text)})(), False)
    assert shown == [found.to_text()]
    coldframe.predict("digits/4", quiet=True)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(UserError, match="all rejected"):
        coldframe.predict("digits/3/broken.png")


def test_a_run_answers_for_paths_pictures_and_arrays(session: Path) -> None:
    model = coldframe.load()
    paths = sorted((session / "digits").glob("*/*.png"))
    paths = [path for path in paths if path.name != "broken.png"]
    labels = [path.parent.name for path in paths]
    probability = model.predict_proba(paths)
    assert probability.shape == (120, 10) and np.allclose(probability.sum(axis=1), 1)
    assert (model.predict(paths) == model.classes_[probability.argmax(axis=1)]).all()
    assert model.score(paths, labels) > 0.8 and "001-fit-head" in repr(model)
    arrays = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths[:5]])
    for same in (arrays, list(arrays), [Image.open(path) for path in paths[:5]], list(map(str, paths[:5]))):
        np.testing.assert_allclose(model.predict_proba(same), probability[:5], atol=1e-6)
    frame = coldframe.predict([*map(str, paths[:5])]).to_frame()
    assert frame["label"].tolist() == model.predict(paths[:5]).tolist()
    with pytest.raises(
        UserError, match=r"received 1 that are not: .*broken.png: no picture.*coldframe.predict"
    ):
        model.predict([paths[0], session / "digits/3/broken.png"])
    with pytest.raises(UserError, match="Put it in a list"):
        model.predict(str(paths[0]))


def test_model_files_and_networks_answer_like_heads(session: Path) -> None:
    paths = sorted((session / "digits" / "5").glob("*.png"))
    fitted = open_run(Workspace.locate(), session / "runs" / "001-fit-head", False, print)
    save_model(
        fitted.model, Path("digits.keras"), fitted.facts
    )  # as `export --to keras` does, which also compares
    model, file = coldframe.load(), coldframe.load("digits.keras")
    np.testing.assert_allclose(file.predict_proba(paths), model.predict_proba(paths), atol=1e-4)
    picture = Image.open(paths[0])
    np.testing.assert_allclose(file.predict_proba([picture]), file.predict_proba(paths[:1]), atol=1e-6)
    assert "digits.keras (logreg), which was named" in file.said or "(centroid)" in file.said
    assert (
        coldframe.predict(paths[0], run="digits.keras").to_frame()["label"][0] == file.predict(paths[:1])[0]
    )

    scratch = coldframe.load(coldframe.baseline(epochs=1, input_size=16).run)
    assert scratch.predict_proba([*paths[:2], np.asarray(picture)]).shape == (3, 10)
    import keras

    head = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    save_model(head, Path("head.keras"), {"classes": ["a", "b"]})
    with pytest.raises(UserError, match="takes embeddings"):
        coldframe.load("head.keras")


def test_a_foreign_pickled_head_needs_trust(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLDFRAME_STATE", str(tmp_path / "state"))  # another machine
    assert len(coldframe.load(session / "runs" / "001-fit-head", workspace=tmp_path / "w").classes_) == 10
    run = shutil.copytree(session / "runs" / "001-fit-head", tmp_path / "older")
    (run / "head.h5").unlink()
    with pytest.raises(UserError, match="trust"):
        coldframe.load(run, workspace=tmp_path / "w")
    mine = coldframe.load(run, workspace=tmp_path / "w", trust=True)
    assert len(mine.classes_) == 10


def test_the_notebook_runs(few_pictures: Path) -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 4 and not any(cell["outputs"] for cell in cells)
    code = "\n".join("".join(cell["source"]) for cell in cells)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    done = subprocess.run(command, cwd=few_pictures, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "answers: 001-fit-head" in done.stdout and "run: " in done.stdout


@pytest.fixture
def few_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with flowers/ and new_photos/: photographs where they are at hand, else generated ones."""
    monkeypatch.delenv("COLDFRAME_WORKSPACE", raising=False)
    photographs = ROOT.parent / "shared" / "flowers"
    rng = np.random.default_rng(0)
    for number, label in enumerate(("daisy", "rose", "tulip")):
        found = sorted((photographs / label).glob("*.jpg"))[:14] if photographs.is_dir() else [None] * 14
        for count, source in enumerate(found):
            folders = (f"flowers/{label}", "new_photos", f"new_flowers/{label}")
            folder = tmp_path / folders[0 if count < 10 else 1 + count % 2]
            folder.mkdir(parents=True, exist_ok=True)
            noise = rng.integers(0, 80, (64, 64, 3)) + np.eye(3, dtype=int)[number] * 120
            picture = Image.open(source) if source else Image.fromarray(noise.astype(np.uint8))
            picture.save(folder / f"{label}{count}.jpg")
    return tmp_path
