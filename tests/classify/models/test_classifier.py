import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from cache.errors import UserError
from cache.space import Space
from cache.workspace import Workspace
from classify.commands.predict.command import predict
from classify.models.classifier import open_classifier
from classify.models.model_file import Artefact
from classify.models.predictor import Predictor
from classify.runs.head_file import load_head
from classify.runs.inputs import Input
from extract.backbones.backbone import Backbone
from extract.backbones.network import build_embedder
from extract.embedding.progress import Progress
from extract.pictures.decoding import DECODERS
from extract.pictures.files import load_row
from extract.settings import RESIZERS, Decoding, Options
from extract.sources.unlabelled import list_pictures
from tests.classify.commands.finetune.conftest import write_pictures
from tests.classify.several import fit, prepare

KERAS = Options(engine="keras")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Space]]:
    folder = tmp_path_factory.mktemp("several")
    return folder, prepare(folder)


@pytest.fixture
def spaces(prepared: tuple[Path, list[Space]]) -> list[Space]:
    return prepared[1]


@pytest.fixture
def workspace(prepared: tuple[Path, list[Space]], tmp_path: Path) -> Workspace:
    shutil.copytree(prepared[0], tmp_path / "work")
    return Workspace(tmp_path / "work" / ".coldframe")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Pictures that no space knows: others of the same kind."""
    folder = write_pictures(tmp_path / "new", 3, 10)
    for known in folder.glob("*/0[0-7].png"):
        known.unlink()
    return folder


def rows(workspace: Workspace) -> dict[str, int]:
    return {store.space.id: len(store) for store in workspace.spaces()}


def test_a_head_of_two_networks_answers_from_rows_side_by_side(
    workspace: Workspace, spaces: list[Space], new: Path
) -> None:
    inputs = [Input(spaces[2]), Input(spaces[0])]  # in an order of their own
    run, before = fit(workspace, inputs), rows(workspace)
    answers = predict(workspace, [new], run=run.name, options=KERAS, top=3)
    after = rows(workspace)
    assert {space.id: after[space.id] - before[space.id] for space in spaces} == {
        spaces[0].id: 6,
        spaces[1].id: 0,  # the head has no use for it
        spaces[2].id: 6,
    }
    head, paths = load_head(workspace, run).head, list(answers.predictions.paths)
    predictor = Predictor(workspace, open_classifier(workspace, run.name, options=KERAS), True)
    probability = predictor.predict_proba(paths)
    assert np.array_equal(predictor.predict(paths), answers.predictions.label[:, 0])
    found = dict(zip(paths, probability, strict=True))
    data = workspace.load(space=f"{spaces[2].id},{spaces[0].id}")
    known = [str(Path(data.manifest.root, path)) for path in data.manifest.paths]
    assert np.array_equal(predictor.predict_proba(known), head.predict_proba(data.embedding))
    assert rows(workspace) == after and len(found) == 6


def test_of_three_spaces_a_head_on_one_embeds_in_one(
    workspace: Workspace, spaces: list[Space], new: Path
) -> None:
    run, before = fit(workspace, [Input(spaces[1])]), rows(workspace)
    predict(workspace, [new], run=run.name, options=KERAS)
    after = rows(workspace)
    assert [after[space.id] - before[space.id] for space in spaces] == [0, 6, 0]


def test_what_cannot_be_read_is_told_once(workspace: Workspace, spaces: list[Space], new: Path) -> None:
    run = fit(workspace, [Input(spaces[0]), Input(spaces[1])])
    (new / "broken.png").write_bytes(b"no picture")
    shutil.copy2(new / "broken.png", new / "again.png")
    answers = predict(workspace, [new], run=run.name, options=KERAS)
    assert len(answers.predictions.paths) == 6
    assert [Path(reject.path).name for reject in answers.rejects] == ["again.png", "broken.png"]
    again = predict(workspace, [new], run=run.name, options=KERAS)
    assert again.rejects == answers.rejects or [each.reason for each in again.rejects] == [
        each.reason for each in answers.rejects
    ]


def test_the_spaces_may_be_named(workspace: Workspace, spaces: list[Space], new: Path) -> None:
    run = fit(workspace, [Input(spaces[0]), Input(spaces[1])])
    both = f"{spaces[1].id[:8]},{spaces[0].id[:8]}"
    assert len(predict(workspace, [new], run=run.name, space=both, options=KERAS).predictions.paths) == 6
    with pytest.raises(
        UserError, match=r"Expected embeddings of spaces .*, received space .*trained in spaces"
    ):
        predict(workspace, [new], run=run.name, space=spaces[0].id, options=KERAS)


def test_a_space_that_is_gone(workspace: Workspace, spaces: list[Space], new: Path) -> None:
    run = fit(workspace, [Input(spaces[0]), Input(spaces[1])])
    shutil.rmtree(workspace.store_by_id(spaces[1].id).folder)
    with pytest.raises(UserError, match=rf"where the model of {spaces[1].backbone} is.*Run extract again"):
        predict(workspace, [new], run=run.name, options=KERAS)


def test_a_network_with_other_weights_than_the_head_knows(
    workspace: Workspace, spaces: list[Space], new: Path
) -> None:
    run = fit(workspace, [Input(spaces[0]), Input(spaces[1])])
    model, other = keras.models.load_model(workspace.root.parent / "mid.keras"), new / "mid.keras"
    model.set_weights([2 * each for each in model.get_weights()])
    model.save(other)
    workspace.store_by_id(spaces[1].id).record_origin(model=f"keras:{other}")
    with pytest.raises(
        UserError,
        match=r"received space .*trained in spaces .*"
        rf"`python cli.py extract FOLDER/ --backbone {spaces[1].backbone} --pooling avg`",
    ):
        predict(workspace, [new], run=run.name, options=KERAS, trust=True)


def test_a_network_that_is_gone(workspace: Workspace, spaces: list[Space], new: Path) -> None:
    run = fit(workspace, [Input(spaces[0]), Input(spaces[1])])
    (store,) = [store for store in workspace.spaces() if store.space == spaces[1]]
    store.record_origin(model="keras:/nowhere/mid.keras")
    with pytest.raises(UserError, match=r"mid\.keras"):
        predict(workspace, [new], run=run.name, options=KERAS)


def test_a_head_of_another_width_is_refused(workspace: Workspace, spaces: list[Space], new: Path) -> None:
    run = fit(workspace, [Input(spaces[0]), Input(spaces[1])])
    classifier = open_classifier(workspace, run.name, options=KERAS)
    loaded = classifier._loaded  # type: ignore[union-attr]
    shorter = replace(loaded, record={**loaded.record, "inputs": None})
    assert shorter.inputs == (Input(spaces[0]),)
    classifier._rows._loaded = shorter  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"of width 17, received 8: .*trained in space "):
        Predictor(workspace, classifier, True).predict([next(new.glob("*/*.png"))])


def test_a_run_on_rows_that_pillow_resized_goes_on_with_pillow(tmp_path: Path, new: Path) -> None:
    (space, *_) = prepare(tmp_path, resizer="pillow")
    workspace = Workspace(tmp_path / ".coldframe")
    assert space.decoder == DECODERS["pillow"]
    run, manifest = fit(workspace, [Input(space)]), list_pictures([new])
    answered = open_classifier(workspace, run.name, options=KERAS).answer(manifest, Progress())
    backbone = Backbone.of(f"keras:{tmp_path / 'low.keras'}", pooling="avg", preprocessing="unit")
    head, embedder = load_head(workspace, run).head, build_embedder(backbone)
    by = {}
    for resizer in RESIZERS:
        pixels = [load_row(manifest, row, 32, Decoding(resizer=resizer)) for row in range(len(manifest))]
        by[resizer] = head.predict_proba(embedder.predict(np.stack(pixels), verbose=0))
    assert answered.present.all() and rows(workspace)[space.id] == 24 + len(manifest)
    np.testing.assert_allclose(answered.probability, by["pillow"], atol=1e-5)
    assert np.abs(answered.probability - by["fast"]).max() > 1e-4


def test_a_model_that_does_not_name_its_decoder_is_older_than_the_choice() -> None:
    facts = {"resize": "pad", "classes": ["a"], "input_size": 8}
    assert Artefact(None, facts).asked == [(8, Decoding("pad", resizer="pillow"))]  # type: ignore[arg-type]
    for resizer, decoder in DECODERS.items():
        named = Artefact(None, facts | {"decoder": decoder})  # type: ignore[arg-type]
        assert named.asked == [(8, Decoding("pad", resizer=resizer))]
    with pytest.raises(UserError, match="another version of coldframe"):
        _ = Artefact(None, facts | {"decoder": "turbo"}).asked  # type: ignore[arg-type]
