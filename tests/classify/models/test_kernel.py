import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from classify.heads.calibration import CalibratedHead
from classify.heads.fitting.estimators import DuelSVC
from classify.heads.fitting.scaling import LengthScaler, scalings
from classify.heads.table import HEADS
from classify.models.kernel import KernelHead, expand
from classify.models.layers import build_head

Data = tuple[np.ndarray, np.ndarray]


def probabilities(head: KernelHead, X: np.ndarray) -> np.ndarray:
    return np.asarray(build_head(head, X.shape[1])(X))


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("scaling", ["standard", "length", "root", "parts"])
@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_its_layers_answer_as_the_machine(digits: Data, kernel: str, scaling: str, classes: int) -> None:
    X, y = digits
    few = y.astype(int) < classes
    scale = LengthScaler((16, 8, 40)) if scaling == "parts" else scalings(scaling)[0]
    pipeline = Pipeline([("scale", scale), ("classify", DuelSVC(kernel, C=3.0))])
    head = CalibratedHead(pipeline.fit(X[few][:200], y[few][:200]), 0.4)
    expanded = expand(head)
    assert expanded is not None and expanded.classes == tuple(map(str, range(classes)))
    assert (expanded.support is None) == (kernel == "linear")
    np.testing.assert_allclose(probabilities(expanded, X), head.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_approximate_kernel_of_large_data(digits: Data, classes: int) -> None:
    X, y = digits
    few = y.astype(int) < classes
    large = HEADS["svm"].large
    assert large is not None
    pipeline = large.make().set_params(kernel__n_components=50, kernel__gamma=1 / 64)
    head = CalibratedHead(pipeline.fit(X[few], y[few]), 0.4)
    expanded = expand(head)
    assert expanded is not None and not expanded.duels
    np.testing.assert_allclose(probabilities(expanded, X), head.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("name", ["logreg", "knn", "mlp"])
def test_nothing_else_is_expanded(digits: Data, name: str) -> None:
    pipeline = HEADS[name].make()
    if name == "mlp":
        pipeline.set_params(classify__hidden_layer_sizes=(4,))
    assert expand(CalibratedHead(pipeline.fit(*digits))) is None
