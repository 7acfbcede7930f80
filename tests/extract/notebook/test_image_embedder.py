"""The transformer: scikit-learn's rules with a counting engine, the real engine where it matters."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import linear_model, model_selection, pipeline
from sklearn.base import clone
from sklearn.utils import InputTags, estimator_checks
from sklearn.utils.validation import validate_data

from cache.errors import UserError
from cache.workspace import Workspace
from extract import ImageEmbedder
from extract.backbones.backbone import Backbone
from extract.commands import extract
from extract.settings import Decoding, Options
from tests.extract.counting import CountingEngine, make_pictures
from tests.extract.sample_pictures import encode, scene

SMALL = {"backbone": "mobilenet_v2", "weights": "none", "input_size": 32}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures", {"cat": 6, "dog": 6})


@pytest.fixture
def embedder(tmp_path: Path) -> ImageEmbedder:
    return ImageEmbedder(**SMALL, workspace=tmp_path / "workspace")


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def labels(paths: list[Path]) -> list[str]:
    return [path.parent.name for path in paths]


def command_extract(folder: Path, workspace: Path) -> extract.Summary:
    backbone = Backbone.of("mobilenet_v2", "none", 32)
    return extract.extract(Workspace(workspace), folder, backbone, Decoding(), Options())


def test_rows_are_in_the_order_asked_and_made_once(
    folder: Path, embedder: ImageEmbedder, engine: CountingEngine
) -> None:
    paths = files(folder)
    rows = embedder.fit(paths[:1]).transform([*paths, paths[0]])
    assert rows.shape == (13, 3) and rows.dtype == np.float32 and engine.pictures == 12
    np.testing.assert_array_equal(embedder.transform(list(map(str, paths[::-1]))), rows[:12][::-1])
    np.testing.assert_array_equal(rows[12], rows[0])
    assert engine.pictures == 12


def test_command_and_transformer_share_rows(
    folder: Path, embedder: ImageEmbedder, engine: CountingEngine
) -> None:
    summary = command_extract(folder, Path(embedder.workspace or ""))
    rows = embedder.fit_transform(files(folder))
    assert embedder.space_ == summary.space and engine.pictures == 12
    data = Workspace.locate(embedder.workspace).load()
    np.testing.assert_array_equal(data.embedding, rows)
    more = make_pictures(folder.parent / "more", {"cow": 3})
    embedder.transform(files(more))
    assert engine.pictures == 15
    assert command_extract(more, Path(embedder.workspace or "")).embedded == 0


def test_images_arrays_and_files_may_be_mixed(
    folder: Path, embedder: ImageEmbedder, engine: CountingEngine
) -> None:
    path = files(folder)[0]
    array = np.asarray(Image.open(path))
    given = [array, path, Image.open(path), array[:, ::-1], str(path)]
    rows = embedder.fit_transform(given)
    np.testing.assert_array_equal(rows[[0, 2, 4]], rows[[1, 1, 1]])
    # The array and the Pillow image are one picture; a file has the key of its bytes.
    assert engine.pictures == 3
    embedder.transform(given)
    assert engine.pictures == 3


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(
    folder: Path, embedder: ImageEmbedder, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files(folder)[0]
    first = embedder.fit_transform([path])
    reads = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda name, *rest: reads.append(str(name)) or real(name, *rest))
    np.testing.assert_array_equal(clone(embedder).fit_transform([path]), first)
    assert str(path) not in reads
    Image.new("RGB", (9, 9), "red").save(path)
    np.testing.assert_array_equal(embedder.transform([path]), [[255, 0, 0]])
    assert str(path) in reads


def test_a_grid_search_embeds_each_picture_once(
    folder: Path, embedder: ImageEmbedder, engine: CountingEngine
) -> None:
    paths = files(folder)
    model = pipeline.make_pipeline(embedder, linear_model.RidgeClassifier())
    grid = {"imageembedder__resize": ["crop", "squash"], "ridgeclassifier__alpha": [0.1, 1.0]}
    search = model_selection.GridSearchCV(model, grid, cv=3, n_jobs=1, error_score="raise")
    search.fit(paths, labels(paths))
    assert engine.pictures == 2 * len(paths)
    model_selection.cross_val_score(
        model, np.array([np.asarray(Image.open(p)) for p in paths]), labels(paths)
    )
    assert engine.pictures == 3 * len(paths)
    assert len(search.best_estimator_.predict([Image.open(paths[0])])) == 1
    assert engine.pictures <= 3 * len(paths) + 1


@pytest.mark.parametrize("kind", ["missing", "truncated", "not a name", "opened"])
def test_what_cannot_be_read_is_told_or_nan(
    kind: str, folder: Path, embedder: ImageEmbedder, engine: CountingEngine
) -> None:
    (folder / "half.jpg").write_bytes(encode(scene(90, 80), "JPEG")[:-300])
    bad: dict[str, Any] = {
        "missing": folder / "gone.jpg",
        "truncated": folder / "half.jpg",
        "not a name": "zero\0byte",
        "opened": Image.open(folder / "half.jpg"),
    }
    reason = {"missing": "No such file", "not a name": "null byte"}.get(kind, "truncated")
    given = [files(folder)[0], bad[kind], bad[kind]]
    embedder.fit(given)
    with pytest.raises(UserError, match=f"3 readable pictures, received 2 .*{reason}.*errors='nan'"):
        embedder.transform(given)
    assert engine.pictures == 1
    with pytest.warns(UserWarning, match=f"2 of 3 pictures are rows of NaN: .*{reason}"):
        rows = embedder.set_params(errors="nan").transform(given)
    np.testing.assert_array_equal(np.isnan(rows), [[False] * 3, [True] * 3, [True] * 3])


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_not_utf8_is_read(
    folder: Path, embedder: ImageEmbedder, engine: CountingEngine
) -> None:
    path = folder / os.fsdecode(b"caf\xe9.png")
    try:
        shutil.copy(files(folder)[0], path)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    rows = embedder.fit_transform([path, files(folder)[0]])
    np.testing.assert_array_equal(rows[0], rows[1])


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"backbone": "mobilenet_v7"}, "mobilenet_v2"),
        ({"pooling": "layer:out_relu"}, "avg, max, flatten or stages"),
        ({"pooling": "stages@out_relu"}, "stages, or layer:NAME"),
        ({"errors": "ignore"}, "raise, nan"),
        ({"batch_size": 0}, "batch_size to be an integer above 0"),
        ({"input_size": 1.5}, "input_size"),
        ({"max_pixels": None}, "max_pixels to be an integer above 0, received None"),
        ({"workers": True}, "workers to be an integer above 0, received True"),
        ({"backbone": None}, "backbone to be text, received None"),
        ({"weights": None}, "weights to be text, received None"),
        ({"pooling": 3}, "pooling to be text, received 3"),
        ({"resize": 3}, "resize to be text, received 3"),
        ({"workspace": 3}, "workspace to be text, received 3"),
        ({"resize": "cut"}, "crop, squash, pad"),
        ({"dtype": "float64"}, "float32, float16"),
        ({"engine": "onnx"}, "auto, litert, keras"),
    ],
)
def test_parameters_are_checked_when_it_is_fitted(
    parameters: dict[str, Any], told: str, embedder: ImageEmbedder, engine: CountingEngine
) -> None:
    embedder.set_params(**parameters)
    with pytest.raises(UserError, match=told):
        embedder.fit(["a.jpg"])


def test_numbers_of_numpy_are_numbers(folder: Path, embedder: ImageEmbedder, engine: CountingEngine) -> None:
    plain = embedder.fit_transform(files(folder)[:2])
    numbers = {"input_size": np.int64(32), "batch_size": np.int32(2), "workers": np.uint8(1)}
    embedder.set_params(**numbers, max_pixels=np.int64(10**6))
    np.testing.assert_array_equal(embedder.fit(["a.jpg"]).transform(files(folder)[:3])[:2], plain)
    assert engine.pictures == 3


def test_it_works_unfitted_and_once_fitted_keeps_to_its_space(
    folder: Path, embedder: ImageEmbedder, engine: CountingEngine
) -> None:
    state = dict(vars(embedder))
    rows = embedder.transform(files(folder))
    assert vars(embedder) == state and len(embedder.get_feature_names_out()) == rows.shape[1]
    np.testing.assert_array_equal(rows, clone(embedder).fit_transform(files(folder)))
    estimator_checks.check_is_fitted(embedder)  # of what learns nothing, nothing is asked
    with pytest.raises(UserError, match="errors to be one of"):
        clone(embedder).set_params(errors="pass").transform(files(folder))
    embedder.fit(files(folder)).set_params(resize="pad")
    with pytest.raises(UserError, match=r"in which this embedder was fitted.*Fit it again"):
        embedder.transform(files(folder))


def test_pandas_in_and_out(folder: Path, embedder: ImageEmbedder, engine: CountingEngine) -> None:
    table = pd.DataFrame({"path": list(map(str, files(folder)))}, index=range(100, 112))
    frame = embedder.set_output(transform="pandas").fit_transform(table["path"])
    assert (
        list(frame.columns)
        == [f"imageembedder{i}" for i in range(3)]
        == list(embedder.get_feature_names_out())
    )
    assert list(frame.index) == list(table.index) and set(frame.dtypes) == {np.dtype("float32")}
    with pytest.raises(UserError, match=r"a DataFrame of shape \(12, 1\).*the column"):
        embedder.transform(table)


def test_the_workspace_is_the_one_of_the_command(
    folder: Path, tmp_path: Path, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLDFRAME_WORKSPACE", raising=False)
    ImageEmbedder(**SMALL).fit_transform(files(folder))
    assert (tmp_path / ".coldframe/spaces").is_dir()
    monkeypatch.setenv("COLDFRAME_WORKSPACE", str(tmp_path / "other"))
    ImageEmbedder(**SMALL).fit_transform(files(folder))
    assert (tmp_path / "other/spaces").is_dir() and engine.pictures == 24
    monkeypatch.setenv("HOME", str(tmp_path))
    ImageEmbedder(**SMALL, workspace="~/other").fit_transform(files(folder))
    assert engine.pictures == 24


def test_a_workspace_that_was_deleted_is_made_again(
    folder: Path, embedder: ImageEmbedder, engine: CountingEngine
) -> None:
    rows = embedder.fit_transform(files(folder))
    shutil.rmtree(embedder.workspace or "")
    np.testing.assert_array_equal(embedder.transform(files(folder)), rows)


def test_it_shows_itself_as_an_estimator_does(embedder: ImageEmbedder) -> None:
    assert repr(ImageEmbedder(pooling="max")) == "ImageEmbedder(pooling='max')"
    assert "ImageEmbedder" in pipeline.make_pipeline(embedder)._repr_html_()


# --- the real engine -----------------------------------------------------------------------------------------------


def test_the_real_engine_in_worker_processes(folder: Path, tmp_path: Path) -> None:
    paths = files(folder)
    embedder = ImageEmbedder(input_size=64, workspace=tmp_path / "workspace")
    model = pipeline.make_pipeline(embedder, linear_model.RidgeClassifier())
    grid = {"imageembedder__resize": ["crop", "squash"]}
    search = model_selection.GridSearchCV(model, grid, cv=2, n_jobs=2, error_score="raise")
    search.fit(paths, labels(paths))
    stores = Workspace.locate(embedder.workspace).spaces()
    assert sorted(store.space.resize for store in stores) == ["crop", "squash"]
    assert [len(store) for store in stores] == [
        12,
        12,
    ]  # rows, repeated ones included: each was embedded once

    rows = embedder.fit_transform(paths)
    joblib.dump(search.best_estimator_, tmp_path / "model.joblib")
    answers = joblib.load(tmp_path / "model.joblib").predict(paths)
    assert list(answers) == list(search.predict(paths))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embedder)).transform(paths), rows)

    opened = embedder.transform([Image.open(path) for path in paths])
    np.testing.assert_allclose(opened, rows, atol=1e-5)
    assert np.ptp(rows, axis=0).max() > 1e-3  # not all alike, or nothing was shown


def test_pickles_name_the_door_and_those_that_name_the_old_module_load(tmp_path: Path) -> None:
    embedder = ImageEmbedder(workspace=str(tmp_path), input_size=32)
    text = pickle.dumps(embedder, protocol=0)
    assert text.count(b"(cextract\nImageEmbedder\n") == 1
    old = text.replace(b"(cextract\n", b"(cextract.image_embedder\n")
    assert pickle.loads(old).get_params() == embedder.get_params() == pickle.loads(text).get_params()


# --- scikit-learn's own checks -------------------------------------------------------------------------------------

# The checks that need no data, on the transformer itself.
WITHOUT_DATA: list[Callable[[str, Any], None]] = [
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_mixin_order,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_set_params,
    estimator_checks.check_valid_tag_types,
]


@pytest.mark.parametrize("check", WITHOUT_DATA, ids=lambda check: check.__name__)
def test_checks_without_data(check: Callable[[str, Any], None], embedder: ImageEmbedder) -> None:
    check("ImageEmbedder", embedder)


class Painted(ImageEmbedder):
    """Takes a numeric matrix and paints each row as a picture, so that scikit-learn's checks can feed it."""

    def fit(self, X: Any, y: Any = None) -> "Painted":
        super().fit(self._paint(validate_data(self, X)))
        return self

    def transform(self, X: Any) -> np.ndarray:
        estimator_checks.check_is_fitted(self)
        return super().transform(self._paint(validate_data(self, X, reset=False)))

    def _paint(self, X: np.ndarray) -> list[np.ndarray]:
        shades = (np.tanh(np.asarray(X, np.float64)) * 127 + 128).astype(np.uint8)
        return [np.broadcast_to(row[:, None], (len(row), 2)) for row in shades]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = InputTags()  # a matrix of numbers
        return tags


def test_checks_with_painted_data(embedder: ImageEmbedder, engine: CountingEngine) -> None:
    results = estimator_checks.check_estimator(Painted(**embedder.get_params()), on_skip=None, on_fail=None)
    failed = {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "failed"}
    assert not failed and sum(r["status"] == "passed" for r in results) > 35
