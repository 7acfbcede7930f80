"""A head on several networks and the tuned one of them in one file, which every command goes on working with."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.evaluate.command import evaluate
from classify.commands.export.command import export
from classify.commands.export.formats import FORMATS
from classify.commands.finetune.command import finetune
from classify.commands.finetune.mixing import share
from classify.commands.finetune.mixing.share import Mixture
from classify.commands.finetune.result import Outcome
from classify.commands.fit_head.options import FitOptions
from classify.models.classifier import ModelClassifier, open_classifier
from classify.models.predictor import Predictor
from classify.runs.folder import best_run
from classify.runs.head_file import load_head
from classify.runs.inputs import Input, inputs_of
from classify.runs.record import record_of
from classify.runs.scores import load
from classify.training.checkpoint import Checkpoint
from extract.pictures.decoding import decode
from extract.settings import Options
from tests.classify.commands.finetune.start.test_refitted import headed
from tests.classify.several import SIZES, prepare

KERAS = Options(engine="keras")
GIVEN = {"epochs": 2, "views": 0, "lr": 3e-3, "batch_size": 16, "top": 1}
SHARE = 0.4


def both(own: np.ndarray, tuned: np.ndarray, codes: np.ndarray, errors: float = 1.0) -> Mixture:
    """Take the mixture whatever the pictures say, which are few."""
    mixed = SHARE * own + (1 - SHARE) * tuned
    return Mixture(SHARE, mixed, *(share._judge(each, codes) for each in (own, tuned, mixed)))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stripes in three networks' rows of every stage, and a head on all of them; tuning always pays."""
    folder = tmp_path_factory.mktemp("mixing")
    spaces = prepare(folder, per_class=20, pooling="stages")
    workspace = Workspace(folder / ".coldframe")
    workspace.remember(space=",".join(space.id for space in spaces))
    headed(workspace, [Input(space) for space in spaces], "logreg", FitOptions(folds=3, split="60/20/20"))
    return folder


@pytest.fixture(autouse=True, scope="module")
def always_taken() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("classify.commands.finetune.mixing.share.choose_share", both)
        patch.setattr("classify.commands.finetune.choosing.choosing.choose", lambda line, floor: line[-1])
        patch.setattr("extract.embedding.extractor.choose_engine", lambda asked, backbone, note: "keras")
        yield


@pytest.fixture(scope="module")
def done(several: Path) -> tuple[Workspace, Outcome, list[str]]:
    workspace, said = Workspace(several / ".coldframe"), list[str]()
    head = str(next(workspace.runs.glob("*-fit-head")))
    return workspace, finetune(workspace, GIVEN, run=head, options=KERAS, say=said.append), said


def test_what_answers_is_told(done: tuple[Workspace, Outcome, list[str]]) -> None:
    workspace, outcome, said = done
    (line,) = [line for line in said if "the answer is 40% the run's own head" in line]
    assert line in outcome.notes and line in (outcome.run / "report.md").read_text()
    told = outcome.to_json()["mixture"]
    assert told["share"] == SHARE and told["val_accuracy"] == outcome.chosen[1]
    assert "the mixture" in outcome.to_text() and "| mixture |" in (outcome.run / "report.md").read_text()
    scores = load(outcome.run)
    right = scores.probability.argmax(axis=1) == scores.label
    assert right[scores.part == 1].mean() == pytest.approx(told["val_accuracy"])
    assert right[scores.part == 2].mean() == outcome.after.accuracy
    record = record_of(outcome.run)
    head = next(workspace.runs.glob("*-fit-head"))
    assert inputs_of(record) == inputs_of(record_of(head))
    taken = best_run(workspace) == outcome.run.resolve()
    assert taken == (not outcome.beaten)


def test_one_file_holds_it_all_and_plain_keras_answers_as_the_run(
    done: tuple[Workspace, Outcome, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, outcome, _ = done
    files = sorted((workspace.root.parent / "stripes").glob("*/*.png"))
    classifier = open_classifier(workspace, str(outcome.run))
    assert isinstance(classifier, ModelClassifier)
    assert sorted(size for size, _ in classifier.asked) == sorted(set(SIZES.values()))
    found = Predictor(workspace, classifier, True).predict_proba(files)
    scores = load(outcome.run)
    row = {Path(path).name + Path(path).parent.name: n for n, path in enumerate(scores.path)}
    tested = [n for n, file in enumerate(files) if row.get(file.name + file.parent.name) is not None]
    tested = [n for n in tested if scores.part[row[files[n].name + files[n].parent.name]] == 2]
    assert len(tested) == outcome.after.n
    places = [row[files[n].name + files[n].parent.name] for n in tested]
    np.testing.assert_allclose(found[tested], scores.probability[places], atol=1e-5)

    squares = [
        np.stack([decode(file.read_bytes(), size, how) for file in files[::10]])
        for size, how in classifier.asked
    ]
    with monkeypatch.context() as hidden:  # as where there is no coldframe
        for name in [name for name in sys.modules if name.startswith(("cache", "classify", "extract"))]:
            hidden.setitem(sys.modules, name, None)
        plain = keras.models.load_model(outcome.run / "model.keras")
    answers = plain.get_layer("classifier").predict_on_batch(squares)
    np.testing.assert_allclose(answers, found[::10], atol=1e-5)
    with (files[0]).open("rb") as file:
        np.testing.assert_allclose(classifier.see(file.read()).probability, found[0], atol=1e-5)


def test_the_answer_is_that_of_head_and_network(done: tuple[Workspace, Outcome, list[str]]) -> None:
    workspace, outcome, _ = done
    head = load_head(workspace, next(workspace.runs.glob("*-fit-head")))
    files = sorted((workspace.root.parent / "stripes").glob("*/*.png"))[::7]
    model = open_classifier(workspace, str(outcome.run))
    assert isinstance(model, ModelClassifier)
    inner = model.network
    heads = [inner.get_layer(name)._inbound_nodes[-1].output_tensors[0] for name in ("head_1", "head_2")]
    parts = keras.Model(inner.inputs, heads)
    squares = [np.stack([decode(file.read_bytes(), *how) for file in files]) for how in model.asked]
    tuned, own = parts.predict_on_batch(squares)
    both_of = Predictor(workspace, model, True).predict_proba(files)
    np.testing.assert_allclose(both_of, SHARE * own + (1 - SHARE) * tuned, atol=1e-5)
    alone = Predictor(workspace, open_classifier(workspace, head.folder.name, options=KERAS), True)
    np.testing.assert_allclose(own, alone.predict_proba(files), atol=1e-4)
    assert np.abs(own - tuned).max() > 0.01


def test_the_tuned_network_alone_answers_for_mirror_images(several: Path, tmp_path: Path) -> None:
    shutil.copytree(several, tmp_path / "work", ignore=shutil.ignore_patterns("*-finetune"))
    workspace = Workspace(tmp_path / "work" / ".coldframe")
    head = str(next(workspace.runs.glob("*-fit-head")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("classify.commands.finetune.choosing.asking.better", lambda both, alone, errors: True)
        outcome = finetune(workspace, GIVEN | {"mirror": True}, run=head, options=KERAS)
    assert outcome.mixture is not None and outcome.mirrored is not None and outcome.mirrored.used
    assert outcome.mixture.tuned_val_accuracy == outcome.mirrored.val_accuracy
    inner = keras.models.load_model(outcome.run / "model.keras", compile=False).get_layer("classifier")
    heads = [inner.get_layer(name)._inbound_nodes[-1].output_tensors[0] for name in ("head_1", "head_2")]
    parts, random = keras.Model(inner.inputs, heads), np.random.default_rng(0)
    squares = [random.integers(0, 256, (4, *each.shape[1:])).astype(np.uint8) for each in inner.inputs]
    tuned, own = parts.predict_on_batch(squares)
    mirrored, turned = parts.predict_on_batch([each[:, :, ::-1].copy() for each in squares])
    np.testing.assert_allclose(mirrored, tuned, atol=1e-5)
    assert np.abs(turned - own).max() > 1e-4


@pytest.mark.parametrize("kind", ["keras", "savedmodel", "tflite", "onnx"])
def test_it_is_exported(done: tuple[Workspace, Outcome, list[str]], kind: str, tmp_path: Path) -> None:
    for package in FORMATS[kind].needs:
        pytest.importorskip(package)
    result = export(done[0], done[1].run, kind, tmp_path / FORMATS[kind].name)
    assert result.max_difference < 1e-4 and result.agreement == 1
    if kind == "keras":
        files = sorted((done[0].root.parent / "stripes").glob("*/*.png"))[:3]
        named = [str(done[1].run), str(result.file)]
        one, two = (
            Predictor(done[0], open_classifier(done[0], name, trust=True), True).predict_proba(files)
            for name in named
        )
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_its_head_alone_is_refused(done: tuple[Workspace, Outcome, list[str]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"another format than saved-head .* mean of two heads"):
        export(done[0], done[1].run, "saved-head", tmp_path / "head.keras")


def test_it_is_evaluated(done: tuple[Workspace, Outcome, list[str]]) -> None:
    workspace, outcome, _ = done
    found = evaluate(workspace, workspace.root.parent / "stripes", run=str(outcome.run))
    assert found.evaluation.n == 60


class Killed(BaseException):
    """What nothing catches; test_command.py ends a process."""


def test_killed_and_resumed_it_comes_to_the_same(
    several: Path,
    done: tuple[Workspace, Outcome, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(several, tmp_path / "work", ignore=shutil.ignore_patterns("*-finetune"))
    workspace = Workspace(tmp_path / "work" / ".coldframe")
    head = str(next(workspace.runs.glob("*-fit-head")))
    keep = Checkpoint.save

    def mortal(checkpoint: Checkpoint, path: Path) -> None:
        keep(checkpoint, path)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", mortal)
        with pytest.raises(Killed):
            finetune(workspace, GIVEN, run=head, options=KERAS)
    again = finetune(workspace, {}, resume="", options=KERAS)
    whole = done[1]
    assert again.mixture == whole.mixture
    np.testing.assert_allclose(load(again.run).probability, load(whole.run).probability, atol=1e-5)
