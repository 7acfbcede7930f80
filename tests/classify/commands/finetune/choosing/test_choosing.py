"""What the validating pictures chose is trained again on all, and asked in other ways, where that is wanted."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from cache.errors import UserError
from cache.manifest import Manifest
from cache.workspace import Workspace
from classify.commands.evaluate.command import evaluate
from classify.commands.export.command import export
from classify.commands.export.formats import FORMATS
from classify.commands.finetune import resume
from classify.commands.finetune.choosing import asking, choosing
from classify.commands.finetune.command import finetune
from classify.commands.finetune.result import Outcome, Result
from classify.commands.fit_head.options import FitOptions
from classify.models.classifier import open_classifier
from classify.models.predictor import Predictor
from classify.runs.inputs import Input
from classify.runs.record import record_of
from classify.runs.scores import PARTS, load
from classify.training.batches import TrainingRows
from classify.training.checkpoint import Checkpoint
from classify.training.loop import Trained
from classify.training.settings import Settings
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.pictures.decoding import decode
from extract.settings import Decoding, Options
from tests.classify.commands.finetune.conftest import write_pictures
from tests.classify.commands.finetune.start.test_refitted import headed
from tests.classify.several import write_network

KERAS = Options(engine="keras")
GIVEN = {"epochs": 3, "views": 1, "lr": 3e-3, "batch_size": 16, "top": 1}
ALL = GIVEN | {"larger": True, "mirror": True, "refit": True}
Done = tuple[Workspace, Outcome, list[str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stripes in rows of a small network, a fifth of them to validate, and a head."""
    folder = tmp_path_factory.mktemp("choosing")
    write_network(folder / "small.keras", 32, 0)
    return made_with(folder)


def made_with(folder: Path) -> Path:
    """The same with the network that is there as small.keras."""
    workspace, pictures = Workspace(folder / ".coldframe"), write_pictures(folder / "stripes")
    backbone = Backbone.of(f"keras:{folder / 'small.keras'}", pooling="avg", preprocessing="unit")
    done = extract(workspace, pictures, backbone, Decoding(), KERAS)
    space = workspace.store_by_id(done.space).space
    run = headed(workspace, [Input(space)], "logreg", FitOptions(folds=3, split="60/20/20"))
    workspace.remember(run={"path": str(run), "cv_accuracy": 0.5})
    return folder


@pytest.fixture(autouse=True)
def always_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuning, larger pictures and mirror images always pay: the pictures are few."""
    monkeypatch.setattr(choosing, "choose", lambda line, floor: line[-1])
    monkeypatch.setattr(asking, "better", lambda both, alone, errors: True)


OUT_OF_MEMORY = """Graph execution error:

Detected at node functional_1/conv2d_1/convolution defined at (most recent call last):
  File "/usr/bin/coldframe", line 8, in <module>
    sys.exit(main())

OOM when allocating tensor.
\t [[{{node functional_1/conv2d_1/convolution}}]]"""


class Killed(BaseException):
    """What nothing catches."""


def of_ones_own(made: Path, folder: Path) -> Workspace:
    shutil.copytree(made, folder)
    return Workspace(folder / ".coldframe")


@pytest.fixture(scope="module")
def done(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    workspace = of_ones_own(made, tmp_path_factory.mktemp("done") / "work")
    said = list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "choose", lambda line, floor: line[-1])
        patch.setattr(asking, "better", lambda both, alone, errors: True)
        yield workspace, finetune(workspace, ALL, options=KERAS, say=said.append), said


def files_of(workspace: Workspace) -> list[Path]:
    return sorted((workspace.root.parent / "stripes").glob("*/*.png"))


def weights(run: Path) -> list[np.ndarray]:
    return keras.models.load_model(run / "model.keras", compile=False).get_weights()


def test_what_was_done_is_told(done: Done) -> None:
    _, outcome, said = done
    count = outcome.history.val_n
    line = next(line for line in said if "its mirror image together" in line)
    assert line in outcome.notes and f"of {count} validating pictures" in line
    assert any(f"training on all 48 pictures for {outcome.history.best} epoch" in line for line in said)
    assert any(line.startswith("all pictures, epoch 1 of") for line in said)
    assert any(note.startswith("trained again on all 48 pictures") for note in outcome.notes)
    page, record = (outcome.run / "report.md").read_text("utf-8"), record_of(outcome.run)
    assert "the model answers for a picture and its mirror image together" in page
    assert f"{48 - count} pictures for training, {count} for validation, which then trained, too" in page
    mirrored, enlarged = outcome.mirrored, outcome.enlarged
    assert enlarged is not None and enlarged.size == 48 and enlarged.val_n == count
    assert [each.size for each in enlarged.tried] == [32, 48]
    assert record["result"]["enlarged"] == enlarged.to_json() and enlarged.describe() in outcome.notes
    assert "32 pixels; answers for 48" in page and "answers for pictures of 48 pixels" in page
    assert mirrored is not None and record["result"]["mirrored"] == mirrored.to_json()
    assert record["result"]["val_accuracy"] == mirrored.val_accuracy == outcome.chosen[1]
    assert not (outcome.run / "validation.csv").exists()  # they have trained
    assert not list(outcome.run.glob("checkpoint*"))


def test_pictures_that_validated_were_answered_for_before_they_trained(done: Done) -> None:
    _, outcome, _ = done
    scores = load(outcome.run)
    validated = scores.part == PARTS.index("val")
    assert validated.sum() == outcome.history.val_n and (scores.fold == -1).all()
    right = scores.probability.argmax(axis=1) == scores.label
    assert outcome.mirrored is not None and right[validated].mean() == outcome.mirrored.val_accuracy


def test_the_model_answers_alike_for_a_picture_and_its_mirror_image(done: Done) -> None:
    workspace, outcome, _ = done
    pixels = np.stack([decode(file.read_bytes(), 48, Decoding()) for file in files_of(workspace)[::6]])
    model = keras.models.load_model(outcome.run / "model.keras", compile=False)
    one, two = (model.predict(each, verbose=0) for each in (pixels, pixels[:, :, ::-1]))
    np.testing.assert_allclose(one, two, atol=1e-5)
    classifier = open_classifier(workspace, str(outcome.run))
    found = Predictor(workspace, classifier, True).predict_proba(files_of(workspace)[::6])
    np.testing.assert_allclose(found, one, atol=1e-5)
    assert evaluate(workspace, workspace.root.parent / "stripes", run=str(outcome.run)).evaluation.n == 60


@pytest.mark.parametrize("kind", ["keras", "savedmodel", "tflite", "onnx", "saved-head"])
def test_it_is_exported(done: Done, kind: str, tmp_path: Path) -> None:
    for package in FORMATS[kind].needs:
        pytest.importorskip(package)
    result = export(done[0], done[1].run, kind, tmp_path / FORMATS[kind].name)
    assert result.max_difference < 1e-4 and result.agreement == 1


def test_a_picture_that_validated_has_moved_the_network(done: Done, made: Path, tmp_path: Path) -> None:
    """Without --refit the same training stops short of them."""
    workspace = of_ones_own(made, tmp_path / "work")
    alone = finetune(workspace, GIVEN | {"mirror": True}, options=KERAS)
    assert (alone.run / "validation.csv").exists() and not (alone.run / resume.CHOSEN).exists()
    assert alone.history.best == done[1].history.best and alone.enlarged is None
    both = zip(weights(alone.run), weights(done[1].run), strict=True)
    assert max(np.abs(a - b).max() for a, b in both) > 1e-3


def test_a_head_that_is_kept_is_not_trained_again(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "choose", lambda line, floor: line[0])
    said: list[str] = []
    kept = finetune(of_ones_own(made, tmp_path / "work"), ALL, options=KERAS, say=said.append)
    assert kept.history.alpha == 0 and kept.mirrored is None
    assert not any("training on all" in line for line in said)
    assert (kept.run / "validation.csv").exists()
    assert "which then trained" not in (kept.run / "report.md").read_text("utf-8")


@pytest.mark.parametrize("averaged", [True, False])
def test_all_pictures_train_to_an_average_only_where_that_was_chosen(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, averaged: bool
) -> None:
    train, asked = choosing.train, list[float]()

    def look(
        model: keras.Model, fit: TrainingRows, val: TrainingRows | None, settings: Settings, **more: Any
    ) -> Trained:
        asked.append(settings.average)
        found = train(model, fit, val, settings, **more)
        return replace(found, epochs=[replace(each, averaged=averaged) for each in found.epochs])

    monkeypatch.setattr(choosing, "train", look)
    finetune(of_ones_own(made, tmp_path / "work"), GIVEN | {"refit": True}, options=KERAS)
    assert asked == [Settings.average, Settings.average if averaged else 0.0]


def test_where_all_pictures_cannot_be_trained_on_what_was_chosen_stands(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = finetune(of_ones_own(made, tmp_path / "alone"), GIVEN, options=KERAS)
    train = choosing.train

    def fail(
        model: keras.Model, fit: TrainingRows, val: TrainingRows | None, settings: Settings, **more: Any
    ) -> Trained:
        found = train(model, fit, val, settings, **more)
        return found if val else replace(found, best=found.head, stopped="the loss was nan in epoch 1")

    monkeypatch.setattr(choosing, "train", fail)
    outcome = finetune(of_ones_own(made, tmp_path / "work"), GIVEN | {"refit": True}, options=KERAS)
    assert "the training on a part stands: on all pictures the loss was nan in epoch 1" in outcome.notes
    assert (outcome.run / "validation.csv").exists()
    for a, b in zip(weights(outcome.run), weights(alone.run), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.fixture
def between(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """One whose run was killed after the choice, before all pictures trained."""
    workspace = of_ones_own(made, tmp_path / "work")

    def killed(*given: Any) -> Result:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(choosing, "_on_all", killed)
        with pytest.raises(Killed):
            finetune(workspace, ALL, options=KERAS)
    return workspace


def test_killed_between_the_trainings_it_comes_to_the_same(between: Workspace, done: Done) -> None:
    """So the second training begins at the head, not where the first ended."""
    again = finetune(between, {}, resume="", options=KERAS)
    for a, b in zip(weights(again.run), weights(done[1].run), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_other_validating_pictures_than_those_that_chose_are_refused(between: Workspace) -> None:
    (run,) = between.runs.glob("*-finetune")
    found = resume.chosen(run)
    assert found is not None
    resume.keep_chosen(run, replace(found, logits=found.logits[1:]))
    with pytest.raises(UserError, match=r"Expected to read the .* validating pictures that chose, received"):
        finetune(between, {}, resume="", options=KERAS)


def test_mirror_images_that_do_not_help_are_left(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "better", lambda both, alone, errors: False)
    outcome = finetune(of_ones_own(made, tmp_path / "work"), GIVEN | {"mirror": True}, options=KERAS)
    assert outcome.mirrored is not None and not outcome.mirrored.used
    assert outcome.chosen[1] == outcome.mirrored.plain_val_accuracy
    assert any(note.startswith("mirror images are not asked about: with them") for note in outcome.notes)
    assert not any(layer.name.startswith("flip") for layer in _classifier(outcome.run).operations)


def test_a_validating_picture_that_is_gone_leaves_mirror_images_out(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = asking.answer

    def one_is_gone(*given: Any, **more: Any) -> np.ndarray:
        found = ask(*given, **more)
        found[0] = np.nan
        return found

    monkeypatch.setattr(asking, "answer", one_is_gone)
    outcome = finetune(of_ones_own(made, tmp_path / "work"), GIVEN | {"mirror": True}, options=KERAS)
    assert outcome.mirrored is None
    assert "mirror images are not asked about: a validating picture could not be read" in outcome.notes


def test_larger_pictures_that_do_not_help_are_left(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "better", lambda found, taken, errors: False)
    outcome = finetune(of_ones_own(made, tmp_path / "work"), GIVEN | {"larger": True}, options=KERAS)
    assert outcome.enlarged is not None and outcome.enlarged.size == 32
    assert outcome.chosen[1] == outcome.enlarged.tried[0].val_accuracy
    assert any("does not answer for larger pictures" in note for note in outcome.notes)
    assert "answers for 48" not in (outcome.run / "report.md").read_text("utf-8")
    assert _classifier(outcome.run).input_shape[1] == 32


def test_figures_of_larger_pictures_are_those_of_the_very_network(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked from the pixels with plain Keras: the size that is taken answers as was judged, by the weights of now."""
    workspace = of_ones_own(made, tmp_path / "work")
    outcome = finetune(workspace, GIVEN | {"larger": True}, options=KERAS)
    scores, root = load(outcome.run), workspace.root.parent / "stripes"
    validated = scores.part == PARTS.index("val")
    files = [root / path for path in np.asarray(scores.path)[validated]]
    model = keras.models.load_model(outcome.run / "model.keras", compile=False)
    pixels = np.stack([decode(file.read_bytes(), 48, Decoding()) for file in files])
    np.testing.assert_allclose(model.predict(pixels, verbose=0), scores.probability[validated], atol=1e-4)
    right = model.predict(pixels, verbose=0).argmax(axis=1) == scores.label[validated]
    assert outcome.enlarged is not None and right.mean() == outcome.enlarged.tried[1].val_accuracy
    plain = finetune(of_ones_own(made, tmp_path / "plain"), GIVEN, options=KERAS)
    of_size = outcome.enlarged.tried[0]
    assert of_size.val_accuracy == plain.chosen[1] and of_size.size == 32
    for a, b in zip(weights(outcome.run), weights(plain.run), strict=True):
        if a.ndim == 4:  # of the network; the head has another temperature
            np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "upper", "reason"),
    [
        (
            4,
            lambda x: keras.ops.reshape(x, (-1, 64, 4)),
            "(27,3)",
        ),  # said by nobody: rows of 27 pictures for 12
        (5, lambda x: keras.ops.reshape(x, (-1, 49, 4)), "must be evenly divisible"),  # said when it runs
        (5, layers.Reshape((49, 4)), "size of the tensor must be unchanged"),  # said when it is built
        (5, layers.Flatten(), "to have value 196"),
    ],
)
def test_a_network_of_one_size_is_not_asked_about_others(
    kernel: int, upper: Any, reason: str, tmp_path: Path
) -> None:
    pixels = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, kernel, strides=4, name="stem")(pixels)
    keras.Model(pixels, layers.Dense(6, name="dense")(upper(x))).save(tmp_path / "small.keras")
    workspace = Workspace(made_with(tmp_path) / ".coldframe")
    outcome = finetune(workspace, GIVEN | {"larger": True}, options=KERAS)
    assert outcome.enlarged is None
    [note] = [
        note for note in outcome.notes if note.startswith("pictures of 48 pixels are not asked about: ")
    ]
    assert reason in note and note.isprintable()


def test_what_a_network_says_of_a_size_only_when_it_runs(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = asking.answer

    def runs(
        model: keras.Model, manifest: Manifest, rows: np.ndarray, how: list, *more: Any, **named: Any
    ) -> Any:
        if how[0][0] == 48:
            raise tf.errors.ResourceExhaustedError(None, None, OUT_OF_MEMORY)
        return real(model, manifest, rows, how, *more, **named)

    monkeypatch.setattr(asking, "LARGER", (1.25, 1.5))
    monkeypatch.setattr(asking, "STEP", 8)
    monkeypatch.setattr(asking, "answer", runs)
    outcome = finetune(of_ones_own(made, tmp_path / "work"), GIVEN | {"larger": True}, options=KERAS)
    assert "pictures of 48 pixels are not asked about: OOM when allocating tensor" in outcome.notes
    assert outcome.enlarged is not None and [each.size for each in outcome.enlarged.tried] == [32, 40]
    assert outcome.enlarged.size == 40  # what was found out before it stays


def test_of_two_epochs_none_skips_which_is_told(made: Path, tmp_path: Path) -> None:
    given = GIVEN | {"epochs": 2, "skip_easy": 0.3}
    outcome = finetune(of_ones_own(made, tmp_path / "work"), given, options=KERAS)
    assert "--skip-easy 0.3 has no effect: the first and the last epoch skip no picture" in outcome.notes
    assert outcome.skipped == 0 and "Skipped" not in (outcome.run / "report.md").read_text("utf-8")


def _classifier(run: Path) -> keras.Model:
    return keras.models.load_model(run / "model.keras", compile=False).get_layer("classifier")


@pytest.mark.parametrize("after", [1, 4])  # epochs: of the part's three, and of the training on all
def test_killed_and_resumed_it_comes_to_the_same(
    made: Path, done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    workspace = of_ones_own(made, tmp_path / "work")
    keep, kept = Checkpoint.save, list[str]()

    def mortal(checkpoint: Checkpoint, path: Path) -> None:
        keep(checkpoint, path)
        kept.append(path.name)
        if len(kept) == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", mortal)
        with pytest.raises(Killed):
            finetune(workspace, ALL, options=KERAS)
    assert set(kept[:3]) == {resume.PART} and set(kept[3:]) <= {resume.CHECKPOINT}
    (run,) = workspace.runs.glob("*-finetune")
    if after > 3:
        assert json.loads((run / resume.CHOSEN).read_text())["mirrored"]["used"]
    again = finetune(workspace, {}, resume="", options=KERAS)
    assert again.run == run and again.mirrored == done[1].mirrored and again.enlarged == done[1].enlarged
    for a, b in zip(weights(again.run), weights(done[1].run), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(load(again.run).probability, load(done[1].run).probability, atol=1e-5)
