import json
import pickle
import re
import shutil
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from cache.errors import UserError
from cache.storage import trusted
from cache.storage.json_file import write_json
from cache.workspace import Workspace
from classify.data.identity import data_hash
from classify.heads.calibration import CalibratedHead
from classify.heads.fitting.batch_norm_mlp import BatchNormMLP
from classify.heads.table import HEADS, own_head
from classify.metrics.evaluation import evaluate
from classify.runs.folder import best_run, find_run
from classify.runs.head_file import load_head, save_head
from classify.runs.predictions import save_evaluation
from classify.runs.record import record, record_of
from tests.classify.samples import make_manifest

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder, with nothing in it."""
    monkeypatch.setenv("COLDFRAME_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def head(digits: Data) -> CalibratedHead:
    return CalibratedHead(HEADS["logreg"].make().fit(*digits), 0.7)


@pytest.fixture
def saved(workspace: Workspace, head: CalibratedHead) -> Path:
    folder = workspace.new_run("fit-head")
    save_head(folder, head, record("fit-head", head={"name": "logreg"}, odd=object()))
    (folder / "head.h5").unlink()  # as in a run of an older version: the Pipeline answers
    return folder


def test_a_head_comes_back_as_it_was(
    workspace: Workspace, saved: Path, head: CalibratedHead, digits: Data
) -> None:
    loaded = load_head(workspace, saved)
    assert (loaded.head.predict_proba(digits[0]) == head.predict_proba(digits[0])).all()
    assert loaded.record["head"]["name"] == "logreg" and loaded.record["head"]["width"] == 64
    assert loaded.record["head"]["classes"] == list("0123456789")
    assert {"python", "numpy", "scikit-learn"} <= loaded.record["versions"].keys()
    assert loaded.folder == saved


class Bomb:
    """Unpickling it leaves a trace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.touch, (self.path,)


def test_foreign_bytes_are_not_even_unpickled(workspace: Workspace, saved: Path, tmp_path: Path) -> None:
    import hashlib
    import io

    import joblib

    buffer = io.BytesIO()
    joblib.dump(Bomb(tmp_path / "boom"), buffer)
    (saved / "head.joblib").write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match=r"head that run\.json describes.*--trust"):
        load_head(workspace, saved)
    # A run.json that agrees with the file is no proof either: both may have come from elsewhere.
    record = json.loads((saved / "run.json").read_text())
    record["head"]["sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
    write_json(saved / "run.json", record)
    with pytest.raises(UserError, match=r"a head that you made or trusted before.*--trust"):
        load_head(workspace, saved)
    # Nor is what older versions noted in the workspace.
    (workspace.root / "heads").mkdir()
    (workspace.root / "heads" / record["head"]["sha256"]).touch()
    with pytest.raises(UserError, match=r"--trust.*asked once.*counts no more"):
        load_head(workspace, saved)
    assert not (tmp_path / "boom").exists()
    load_head(workspace, saved, trust=True)
    assert (tmp_path / "boom").exists()


def test_a_head_of_another_run_is_not_taken_for_this_one(
    workspace: Workspace, saved: Path, digits: Data
) -> None:
    other = workspace.new_run("fit-head")
    save_head(other, CalibratedHead(HEADS["logreg"].make().fit(*digits), 2.0), {"head": {}})
    (saved / "head.joblib").write_bytes((other / "head.joblib").read_bytes())
    with pytest.raises(UserError, match=r"head that run\.json describes"):
        load_head(workspace, saved)


def test_another_machine_has_to_trust_once(workspace: Workspace, saved: Path, state: Path) -> None:
    shutil.rmtree(state)
    with pytest.raises(UserError, match="--trust"):
        load_head(workspace, saved)
    assert load_head(workspace, saved, trust=True).head.n_features_in_ == 64
    assert load_head(workspace, saved).head.n_features_in_ == 64


OWN = """
from sklearn.neighbors import KNeighborsClassifier
class Mine(KNeighborsClassifier): pass
"""


def test_a_head_of_ones_own_finds_its_module_where_it_was_made(
    workspace: Workspace, tmp_path: Path, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "own_heads_of_mine.py").write_text(OWN)
    monkeypatch.chdir(tmp_path / "project")
    fitted = own_head("own_heads_of_mine:Mine").make().fit(*digits)
    folder = workspace.new_run("fit-head")
    save_head(folder, CalibratedHead(fitted, 1.0), {"head": {"name": "own_heads_of_mine:Mine"}})
    # The same name in a folder from elsewhere: nobody asked for it there.
    (tmp_path / "download").mkdir()
    hostile = f"import pathlib; pathlib.Path({str(tmp_path / 'boom')!r}).touch()"
    for name in ("own_heads_of_mine", "joblib", "sklearn"):
        (tmp_path / "download" / f"{name}.py").write_text(hostile)
    monkeypatch.chdir(tmp_path / "download")
    monkeypatch.delitem(sys.modules, "own_heads_of_mine")
    before = list(sys.path)
    assert type(load_head(workspace, folder).head.pipeline[-1]).__name__ == "Mine"
    assert sys.path == before and not (tmp_path / "boom").exists()


def test_a_known_head_takes_no_module_from_the_current_folder(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"cwanted_by_a_head\nHead\n."
    folder = workspace.new_run("fit-head")
    (folder / "run.json").write_text(
        json.dumps({"head": {"name": "knn", "sha256": sha256(text).hexdigest()}})
    )
    (folder / "head.joblib").write_bytes(text)
    trusted.remember(sha256(text).hexdigest())
    (tmp_path / "wanted_by_a_head.py").write_text(f"open({str(tmp_path / 'boom')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="with --trust from the folder with their module"):
        load_head(workspace, folder)
    assert not (tmp_path / "boom").exists()


def test_a_run_is_found_by_its_path_and_by_its_name(
    workspace: Workspace, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_run(workspace, str(saved)) == saved == find_run(workspace, "001-fit-head")
    with pytest.raises(UserError, match=r"received '002-fit-head', which is not there.*001-fit-head"):
        find_run(workspace, "002-fit-head")
    with pytest.raises(UserError, match="Expected a trained head"):
        find_run(workspace, None)


def test_a_folder_that_is_no_run_is_refused(workspace: Workspace, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"of a finished run of fit-head in .* a folder without them"):
        load_head(workspace, tmp_path)
    (tmp_path / "run.json").write_text('{"command": "predict"}')
    with pytest.raises(UserError, match="received a run of predict"):
        load_head(workspace, tmp_path)
    (saved / "head.joblib").write_bytes(b"nothing to load")
    with pytest.raises(UserError, match="that this installation can load"):
        load_head(workspace, saved, trust=True)
    record = json.loads((saved / "run.json").read_text()) | {"format": 99}
    write_json(saved / "run.json", record)
    with pytest.raises(UserError, match="format 1 or older"):
        load_head(workspace, saved)


def test_the_best_run_is_found_after_a_move(workspace: Workspace, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Run `fit-head"):
        best_run(workspace)
    workspace.remember(run={"path": str(saved)})
    assert best_run(workspace) == saved
    workspace.remember(run={"path": str(tmp_path / "gone" / saved.name)})
    assert best_run(workspace) == saved


def test_evaluation_files(tmp_path: Path) -> None:
    truth, names = np.array(["a", "b", "b"]), np.array(["a", "b"])
    predicted, probability = np.array(["a", "a", "b"]), np.array([0.9, 0.6, 0.7])
    found = evaluate(truth, predicted, np.full((3, 2), 0.5), names)
    save_evaluation(tmp_path, found, ["x.png", "caf\udce9.png", "z.png"], truth, predicted, probability)
    lines = (tmp_path / "predictions.csv").read_bytes().splitlines()
    assert lines[0] == b"path,label,predicted,probability"
    assert lines[2] == b"caf\xe9.png,b,a,0.6"
    assert (tmp_path / "confusion.txt").exists() and (tmp_path / "confusion.png").stat().st_size > 1000


def test_the_data_hash_is_over_keys_labels_and_parts() -> None:
    manifest = make_manifest(np.arange(100) % 3, ("a", "b", "c"))
    part = (np.arange(100) % 2).astype(np.uint8)
    plain = data_hash(manifest, part)
    order = np.random.default_rng(0).permutation(100)
    shuffled = manifest.select(order)
    shuffled.paths = [f"renamed/{i}" for i in range(100)]
    assert data_hash(shuffled, part[order]) == plain
    manifest.label[7] += 1
    assert data_hash(manifest, part) != plain
    manifest.label[7] -= 1
    assert data_hash(manifest, 1 - part) != plain
    manifest.key[50, 31] ^= 1
    assert data_hash(manifest, part) != plain


def test_a_record_that_was_read_already_is_not_read_again(workspace: Workspace, saved: Path) -> None:
    known = record_of(saved)
    (saved / "run.json").unlink()
    assert load_head(workspace, saved, record=known).record is known
    with pytest.raises(UserError, match="a folder without them"):
        load_head(workspace, saved)


# Where the classes that heads are made of were: pickles written then name these modules.
BEFORE = {
    "BatchNormMLP": "classify.batch_norm_mlp",
    "CalibratedHead": "classify.calibration",
    "DuelSVC": "classify.duels",
    "LengthScaler": "classify.scaling",
    "Neighbours": "classify.neighbours",
    "RootScaler": "classify.scaling",
}


def pipelines() -> list[Pipeline]:
    """One of each class."""
    scaled = HEADS["logreg"].make()
    steps = [step for step in HEADS["logreg"].grid(64)["scale"] if isinstance(step, BaseEstimator)]
    return [
        *(clone(scaled).set_params(scale=step) for step in steps),
        HEADS["svm"].make(),
        HEADS["knn"].make(),
        Pipeline([("classify", BatchNormMLP((8,), max_iter=2, random_state=0))]),
    ]


def test_heads_fitted_before_their_classes_moved_still_load(
    workspace: Workspace, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: set[str] = set()
    for pipeline in pipelines():
        head = CalibratedHead(pipeline.fit(*digits), 0.7)
        text = pickle.dumps(head, protocol=0)  # the protocol that writes names as lines
        for name, module in BEFORE.items():
            text, n = re.subn(
                rb"cclassify\.[\w.]+\n%b$" % name.encode(), f"c{module}\n{name}".encode(), text, flags=re.M
            )
            named |= {name} if n else set()
        assert b"cclassify.heads" not in text
        for module in BEFORE.values():
            monkeypatch.delitem(sys.modules, module, raising=False)
        folder = workspace.new_run("fit-head")
        save_head(folder, head, {"command": "fit-head", "head": {"name": "old"}})
        (folder / "head.h5").unlink()
        record = json.loads((folder / "run.json").read_text())
        record["head"]["sha256"] = sha256(text).hexdigest()
        write_json(folder / "run.json", record)
        (folder / "head.joblib").write_bytes(text)
        trusted.remember(record["head"]["sha256"])
        loaded = load_head(workspace, folder).head
        np.testing.assert_array_equal(loaded.predict_proba(digits[0]), head.predict_proba(digits[0]))
    assert named == set(BEFORE)


def test_a_class_that_is_nowhere_is_an_error(workspace: Workspace, saved: Path) -> None:
    text = b"cclassify.nowhere\nHead\n."
    record = json.loads((saved / "run.json").read_text())
    record["head"]["sha256"] = sha256(text).hexdigest()
    write_json(saved / "run.json", record)
    (saved / "head.joblib").write_bytes(text)
    with pytest.raises(UserError, match=r"this installation can load.*classify\.nowhere"):
        load_head(workspace, saved, trust=True)
