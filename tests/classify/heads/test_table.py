import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline

from cache.errors import UserError
from classify.data.labelled import Labelled
from classify.heads.calibration import CalibratedHead
from classify.heads.search import Candidate, SearchOptions, search
from classify.heads.table import HEADS, Head, own_head, select
from classify.heads.users_code import users_code

Data = tuple[np.ndarray, np.ndarray]


ALL = [each for head in HEADS.values() for each in (head, head.large) if each]


@pytest.mark.parametrize(
    "head", ALL, ids=lambda head: f"{head.name}{'' if head in HEADS.values() else '-large'}"
)
def test_every_entry_is_a_pipeline_that_takes_its_whole_grid(head: Head) -> None:
    pipeline = head.make()
    assert isinstance(pipeline, Pipeline)
    for name, values in head.grid(1280).items():
        for value in values:
            assert clone(pipeline).set_params(**{name: value}).get_params()[name] == value


@pytest.mark.parametrize(
    "head", ALL, ids=lambda head: f"{head.name}{'' if head in HEADS.values() else '-large'}"
)
def test_settings_are_json_and_tell_candidates_apart(head: Head) -> None:
    settings = [Candidate(params, np.zeros(1)).settings for params in ParameterGrid(head.grid(1280))]
    texts = [json.dumps(one) for one in settings]
    assert len(set(texts)) == len(texts)
    assert json.loads(texts[0]).keys() == settings[0].keys()
    assert not any("__" in text or "Scaler" in text for text in texts)


def test_ranks_are_distinct() -> None:
    assert len({head.rank for head in HEADS.values()}) == len(HEADS)


def test_select_keeps_the_order_and_drops_repeats() -> None:
    assert [head.name for head in select(["svm", "logreg", "svm"])] == ["svm", "logreg"]
    assert select(["svm", "all"])[0].name == "svm"
    assert {head.name for head in select(["all"])} == set(HEADS)


@pytest.mark.parametrize("names", [["svn"], ["logreg", "svn"], []])
def test_an_unknown_name_lists_the_valid_ones(names: list[str]) -> None:
    listed = re.escape(", ".join([*HEADS, "all", "or module:factory"]))
    with pytest.raises(UserError, match=rf"{listed}; received ('svn'|no name)"):
        select(names)
    assert len(HEADS) == 8


def test_a_new_head_is_one_entry() -> None:
    mine = Head("mine", HEADS["svm"].make, lambda width: {}, rank=9)
    assert select(["all"], {"mine": mine}) == [mine]


def test_kernels_are_exact_up_to_the_limit_and_approximate_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classify.heads.table.EXACT_KERNEL_ROWS", 100)
    for head in HEADS.values():
        assert head.for_rows(100) is head
        assert head.for_rows(101) is (head.large or head)
    assert {name for name, head in HEADS.items() if head.large} == {"svm-linear", "svm"}


_numbers = itertools.count()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write Python code into a module of the current folder, under a name no test used before."""
    monkeypatch.chdir(tmp_path)

    def write(code: str) -> str:
        name = f"users_own_module_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(code)
        return name

    return write


FOREST = "from sklearn.ensemble import RandomForestClassifier as Forest\n"


def test_a_head_of_ones_own_is_searched_over_its_grid(own: Callable[[str], str], digits: Data) -> None:
    module = own(FOREST + "def make():\n return Forest(10, random_state=0), {'max_depth': [1, None]}\n")
    found = search(
        own_head(f"{module}:make"), Labelled(digits[0][:200], digits[1][:200]), SearchOptions(folds=2)
    )
    assert found.head == f"{module}:make" and len(found.candidates) == 2
    assert found.params == {"classify__max_depth": None} and found.settings == {"max_depth": None}
    assert found.pipeline[-1].max_depth is None and found.cv_accuracy > found.candidates[0].mean


def test_a_pipeline_of_ones_own_is_taken_as_it_is(own: Callable[[str], str], digits: Data) -> None:
    module = own(
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.decomposition import PCA\n"
        "from sklearn.linear_model import RidgeClassifier\n"
        "def make():\n return make_pipeline(PCA(5), RidgeClassifier()), {'pca__n_components': [2, 20]}\n"
    )
    found = search(select([f"{module}:make"])[0], Labelled(*digits), SearchOptions(folds=2))
    assert [name for name, _ in found.pipeline.steps] == ["pca", "ridgeclassifier"]
    assert found.settings == {"n_components": 20} and found.pipeline[0].n_components_ == 20


@pytest.mark.parametrize(
    "code",
    [
        "from sklearn.svm import LinearSVC\ndef make():\n return LinearSVC()\n",  # no predict_proba
        FOREST + "def make():\n return Forest(10, random_state=0)\n",  # no decision_function
        "from sklearn.linear_model import Perceptron\n"
        "class Bare(Perceptron):\n decision = property()\n"
        "def make():\n return Bare()\n",
        "import numpy as np\n"
        "from sklearn.base import BaseEstimator, ClassifierMixin\n"
        "class Nearest(ClassifierMixin, BaseEstimator):\n"  # predict and nothing else
        " def fit(self, X, y):\n"
        "  self.classes_, self.X_, self.y_ = np.unique(y), X, y\n"
        "  self.n_features_in_ = X.shape[1]\n"
        "  return self\n"
        " def predict(self, X):\n"
        "  return self.y_[((X[:, None] - self.X_) ** 2).sum(axis=2).argmin(axis=1)]\n"
        "def make():\n return Nearest()\n",
    ],
    ids=["no-proba", "no-decision", "perceptron", "predict-only"],
)
def test_any_classifier_of_ones_own_has_scores(own: Callable[[str], str], digits: Data, code: str) -> None:
    X, y = digits[0][:200], digits[1][:200]
    found = search(own_head(f"{own(code)}:make"), Labelled(X, y), SearchOptions(folds=2))
    head = CalibratedHead(found.pipeline, 0.5)
    assert found.cv_accuracy > 0.7
    assert (head.classes_[head.predict_proba(X).argmax(axis=1)] == found.pipeline.predict(X)).all()
    assert head.n_features_in_ == 64


def test_what_is_no_head_is_refused(own: Callable[[str], str]) -> None:
    module = own("from sklearn.svm import SVR\ndef make():\n return SVR()\ndef text():\n return 'svm'\n")
    with pytest.raises(UserError, match="scikit-learn classifier, received SVR"):
        own_head(f"{module}:make")
    with pytest.raises(UserError, match="scikit-learn classifier, received str"):
        own_head(f"{module}:text")
    with pytest.raises(UserError, match=rf"--model {module}:other.*no attribute 'other'"):
        select([f"{module}:other"])
    for name in ("no_such_module_here:make", ":make", f"{module}:"):
        with pytest.raises(UserError, match="to name a function in a module"):
            select([name])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_library\n", "ModuleNotFoundError: No module named 'no_such_library'.*line 1"),
        ("1 / 0\n", "ZeroDivisionError: division by zero.*line 1"),
        ("def make():\n    raise RuntimeError('mine')\n", "RuntimeError: mine.*line 2"),
        ("def make(:\n", "SyntaxError"),
        ("def make():\n    return undefined\n", "NameError: name 'undefined'.*line 2"),
    ],
)
def test_what_ones_own_code_raises_is_said_to_be_ones_own(
    own: Callable[[str], str], code: str, said: str
) -> None:
    with pytest.raises(UserError, match=rf"your own code.*{said}"):
        own_head(f"{own(code)}:make")


def test_what_a_classifier_of_ones_own_raises_while_it_is_fitted(own: Callable[[str], str]) -> None:
    with (
        pytest.raises(UserError, match=r"from a:b .*your own code.*ValueError: at the seventh row"),
        users_code("a:b"),
    ):
        raise ValueError("at the\nseventh row")
    with pytest.raises(ValueError, match="ours"), users_code("svm"):
        raise ValueError("ours")


def test_the_module_search_path_is_left_as_it_was(own: Callable[[str], str]) -> None:
    import sys

    before = list(sys.path)
    with pytest.raises(UserError):
        own_head("no_such_module_here:make")
    own_head(own(FOREST + "make = Forest") + ":make")
    assert sys.path == before
