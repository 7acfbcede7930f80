"""head.h5: heads that cannot run code, from anywhere, and what is refused in its place."""

import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.errors import UserError
from cache.storage.hdf5 import read_arrays, write_arrays
from cache.workspace import Workspace
from classify.heads.arrays import ArrayHead
from classify.heads.as_arrays import as_arrays
from classify.heads.calibration import CalibratedHead
from classify.runs import head_arrays
from classify.runs.head_file import load_head, save_head
from classify.runs.record import record, record_of
from tests.classify.heads.test_arrays import TABLE, fitted

Data = tuple[np.ndarray, np.ndarray]
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder, with nothing in it."""
    monkeypatch.setenv("COLDFRAME_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def saved(workspace: Workspace, head: CalibratedHead, name: str = "logreg") -> Path:
    folder = workspace.new_run("fit-head")
    save_head(folder, head, record("fit-head", head={"name": name}))
    return folder


@pytest.mark.parametrize("name", TABLE)
def test_a_head_of_the_table_is_loaded_without_trust_and_answers_as_it_did(
    workspace: Workspace, digits: Data, state: Path, name: str
) -> None:
    head = fitted(name, "root", digits, 10, float)
    run = saved(workspace, head, name)
    shutil.rmtree(state)
    (run / "head.joblib").unlink()
    loaded = load_head(workspace, run).head
    assert isinstance(loaded, ArrayHead)
    X = digits[0][300:].astype(float)
    np.testing.assert_allclose(loaded.predict_proba(X), head.predict_proba(X), rtol=0, atol=1e-12)
    head_arrays.write(run, loaded)
    assert sha256((run / "head.h5").read_bytes()).hexdigest() == record_of(run)["head"]["arrays"]["sha256"]


def test_a_run_whose_arrays_are_gone_answers_with_its_pipeline_under_the_old_rule(
    workspace: Workspace, digits: Data, state: Path
) -> None:
    head = fitted("logreg", "root", digits, 10)
    run = saved(workspace, head)
    (run / "head.h5").unlink()
    loaded = load_head(workspace, run).head
    assert isinstance(loaded, CalibratedHead)
    shutil.rmtree(state)
    with pytest.raises(UserError, match="--trust"):
        load_head(workspace, run)


def test_the_users_own_heads_live_in_joblib_alone(workspace: Workspace, digits: Data) -> None:
    run = saved(workspace, fitted("logreg", "root", digits, 10), "mine:head")
    assert not (run / "head.h5").exists() and "arrays" not in record_of(run)["head"]
    assert isinstance(load_head(workspace, run).head, CalibratedHead)


def test_neither_scikit_learn_nor_joblib_is_imported(workspace: Workspace, digits: Data) -> None:
    run = saved(workspace, fitted("svm", "length", digits, 10))
    code = (
        "import sys, numpy; from pathlib import Path; from cache.workspace import Workspace\n"
        "from classify.runs.head_file import load_head\n"
        f"head = load_head(Workspace(Path({str(workspace.root)!r})), Path({str(run)!r})).head\n"
        "print(head.predict_proba(numpy.ones((1, 64))).shape, sorted({'sklearn', 'joblib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1, 10) []"


def test_it_is_read_as_documented(
    workspace: Workspace, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = fitted("logreg", "standard", digits, 10)
    monkeypatch.chdir(saved(workspace, head))
    page = (ROOT / "docs/cache-format.md").read_text("utf-8")
    (example,) = [each for each in re.findall(r"```python\n(.*?)```", page, re.S) if "head.h5" in each]
    found = {"h5py": h5py, "np": np, "X": digits[0].astype(float)}
    exec(example, found)
    np.testing.assert_allclose(found["probability"], head.predict_proba(found["X"]), atol=1e-12)


def refused(run: Path, head_or_bytes: ArrayHead | bytes) -> str:
    """Put another head.h5 into a run, with a run.json that agrees; returns what loading it says."""
    if isinstance(head_or_bytes, bytes):
        (run / "head.h5").write_bytes(head_or_bytes)
    else:
        head_arrays.write(run, head_or_bytes)
    digest = sha256((run / "head.h5").read_bytes()).hexdigest()
    with pytest.raises(
        UserError, match=r"Expected a head as arrays in .*head\.h5, but: .*Run `fit-head` again"
    ) as told:
        head_arrays.read(run, digest)
    return str(told.value)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("logreg", lambda h: replace(h, kind="forest"), "kind 'forest'"),
        ("logreg", lambda h: replace(h, scaling="odd"), "scaling 'odd'"),
        ("logreg", lambda h: replace(h, n_features_in_=63), "one number for each of 63 columns"),
        ("logreg", lambda h: replace(h, classes_=h.classes_[:9]), "10 scores for 9 classes"),
        ("logreg", lambda h: replace(h, classes_=h.classes_[[0, *range(9)]]), "make no head"),
        ("logreg", lambda h: replace(h, temperature=float("nan")), "not finite"),
        ("logreg", lambda h: replace(h, temperature=0.0), "temperature 0"),
        ("logreg", lambda h: replace(h, scale=0 * h.scale), "not above 0"),
        ("logreg", lambda h: replace(h, mean=h.mean[:5]), "mean is not"),
        ("logreg", lambda h: replace(h, widths=(60, 3)), "make no row of 64"),
        ("logreg", lambda h: changed(h, coef=h.arrays["coef"] * np.nan), "not finite"),
        ("logreg", lambda h: changed(h, coef=h.arrays["coef"].T), "coef has the shape"),
        ("logreg", lambda h: changed(h, coef=h.arrays["coef"].astype(int)), "head_coef is of type int64"),
        ("logreg", lambda h: changed(h, other=h.mean), "in the place of coef, intercept"),
        ("svm", lambda h: changed(h, gamma=h.mean), "gamma has the shape"),
        ("svm", lambda h: changed(h, weight=h.arrays["weight"][1:]), "weight has the shape"),
        ("mlp", lambda h: changed(h, kernel_2=h.arrays["kernel_2"][1:]), "kernel_2 has the shape"),
        ("knn", lambda h: changed(h, code=h.arrays["code"] + 1), "not of its classes"),
        ("knn", lambda h: changed(h, code=h.arrays["code"] - 1), "not of its classes"),
        ("knn", lambda h: changed(h, most=np.array(0)), "not of its classes"),
    ],
)
def test_what_makes_no_head_is_refused(
    workspace: Workspace, digits: Data, name: str, change: Callable[[ArrayHead], ArrayHead], told: str
) -> None:
    head = as_arrays(fitted(name, "standard", digits, 10))
    assert head is not None
    assert told in refused(workspace.new_run("fit-head"), change(head))


def changed(head: ArrayHead, **arrays: np.ndarray) -> ArrayHead:
    return replace(head, arrays={**head.arrays, **arrays})


def test_no_object_is_ever_unpickled(workspace: Workspace, digits: Data, tmp_path: Path) -> None:
    run = saved(workspace, fitted("logreg", "root", digits, 10))
    shutil.copy(run / "head.h5", tmp_path / "good.h5")

    class Bomb:
        def __reduce__(self) -> tuple[Callable, tuple]:
            return os.mkdir, (str(tmp_path / "boom"),)

    bomb = pickle.dumps(Bomb())
    objects = {
        "text": (np.array([bomb.hex().encode()], object), h5py.string_dtype()),
        "bytes": (np.void(bomb), None),
        "fixed": (np.array([bomb]), None),
        "lists": (np.array([np.frombuffer(bomb, np.uint8), None], object)[:1], h5py.vlen_dtype(np.uint8)),
    }
    for kind, (value, dtype) in objects.items():
        shutil.copy(tmp_path / "good.h5", run / "head.h5")
        with h5py.File(run / "head.h5", "r+") as file:
            del file["head_coef"]
            file.create_dataset("head_coef", data=value, dtype=dtype)
        told = refused(run, (run / "head.h5").read_bytes())
        assert "head_coef is no array of numbers" in told, kind
    assert not (tmp_path / "boom").exists()


def test_a_damaged_or_another_file_is_refused_whatever_is_trusted(workspace: Workspace, digits: Data) -> None:
    run = saved(workspace, fitted("logreg", "root", digits, 10))
    good = (run / "head.h5").read_bytes()
    other = saved(workspace, fitted("ridge", "root", digits, 10), "ridge")
    blows = {
        "not the one that run.json describes": (other / "head.h5").read_bytes(),
        "not the one": good + bytes(1),
    }
    for told, data in blows.items():
        (run / "head.h5").write_bytes(data)
        with pytest.raises(UserError, match=told):
            load_head(workspace, run, trust=True)
    assert "but: " in refused(run, good[:200])
    assert "but: " in refused(run, b"")
    flipped = bytearray(good)
    at = good.index(as_arrays(fitted("logreg", "root", digits, 10)).arrays["coef"].tobytes()[:32])
    flipped[at + 3] ^= 1
    assert "SHA-256" in refused(run, bytes(flipped))
    (run / "head.h5").unlink()
    (run / "head.h5").mkdir()
    with pytest.raises(UserError, match="head as arrays"):
        load_head(workspace, run)


def test_a_newer_format_is_refused(workspace: Workspace, digits: Data) -> None:
    run = saved(workspace, fitted("logreg", "root", digits, 10))
    arrays, _ = read_arrays(run / "head.h5", 1, "")
    write_arrays(run / "head.h5", 2, arrays)
    digest = sha256((run / "head.h5").read_bytes()).hexdigest()
    with pytest.raises(UserError, match=r"Expected format 1, received 2 .*Update this one"):
        head_arrays.read(run, digest)
