import numpy as np
import pytest
from scipy.special import softmax
from sklearn.covariance import ShrunkCovariance
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from classify.limits import novelty
from classify.limits.novelty import NEIGHBOUR, SCORES, SHRINKAGE, Coordinates, auroc, choose, learn

Data = tuple[np.ndarray, np.ndarray]


def clouds(n: int, classes: int = 4, width: int = 40, seed: int = 0) -> Data:
    """Rows of classes that are told apart by some of the columns."""
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, classes, n)
    centre = np.random.default_rng(1_000).normal(size=(50, width))
    return (draw.normal(size=(n, width)) + 1.5 * centre[codes]).astype(np.float32), codes


def chances(rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """What a fair head says of them."""
    classes = codes.max() + 1
    centre = 1.5 * np.random.default_rng(1_000).normal(size=(50, rows.shape[1]))[:classes]
    return softmax(rows @ centre.T - (centre**2).sum(axis=1) / 2, axis=1)


def test_the_scores_are_those_of_the_papers() -> None:
    rows, codes = clouds(300, 3, 12)
    rows = np.column_stack([rows, np.zeros(300)])  # nothing is beside the plane
    Z, asked, p = (
        rows[:200].astype(float),
        rows[200:].astype(float),
        np.random.default_rng(0).dirichlet([1, 1, 1], 100),
    )

    found = {name: score.of(score.fit(Z, codes[:200]), asked, p) for name, score in SCORES.items()}

    assert found["doubt"] == pytest.approx(1 - p.max(axis=1))
    apart = NearestNeighbors(n_neighbors=NEIGHBOUR).fit(Z[:, :-1]).kneighbors(asked[:, :-1])[0][:, -1]
    assert found["neighbour"] == pytest.approx(apart, rel=1e-4)
    Z, asked = Z[:, :-1], asked[:, :-1]
    means = np.stack([Z[codes[:200] == code].mean(axis=0) for code in range(3)])
    within = ShrunkCovariance(shrinkage=SHRINKAGE, assume_centered=True).fit(Z - means[codes[:200]])
    nearest = np.min([within.mahalanobis(asked - mean) for mean in means], axis=0)
    assert found["mahalanobis"] == pytest.approx(nearest)
    whole = ShrunkCovariance(shrinkage=SHRINKAGE).fit(Z).mahalanobis(asked)
    assert found["relative"] == pytest.approx(nearest - whole)


def test_coordinates_are_principal_components_of_rows_of_length_1() -> None:
    for n, width in ((40, 90), (200, 30)):
        rows, _ = clouds(n, 4, width)
        found = Coordinates.around(rows, ())
        Z = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        Z -= Z.mean(axis=0)
        strongest = np.linalg.svd(Z, full_matrices=False)[2][: min(n // 3, width)]
        assert found.basis.shape == (width, len(strongest))
        assert np.abs((found.basis.T @ strongest.T).diagonal()) == pytest.approx(
            np.ones(len(strongest)), abs=1e-3
        )
        plane, beside = np.split(found.of(rows), [-1], axis=1)
        assert plane == pytest.approx(Z @ found.basis, abs=1e-5)
        left = np.linalg.norm(Z - plane @ found.basis.T, axis=1)
        assert beside[:, 0] == pytest.approx(left / found.unit, abs=0.02)
        if width > len(strongest):
            assert (beside**2).mean() == pytest.approx(width - len(strongest), rel=1e-3)


def test_auroc_is_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    positive, scores = draw.random(300) < 0.3, draw.integers(0, 9, 300).astype(float)
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert (
        auroc(np.full(300, 0.1) + draw.normal(size=300) * 1e-13, positive) == 0.5
    )  # the same, but for rounding


def test_classes_that_are_left_out_choose_the_score() -> None:
    rows, codes = clouds(600)
    trials = choose(rows, codes, ())
    assert {name: trial.sets for name, trial in trials.items()} == dict.fromkeys(SCORES, 4)
    assert trials["mahalanobis"].auroc > 0.95
    for trial in trials.values():
        assert 0 <= trial.low <= trial.auroc <= trial.high <= 1
    found = learn(rows, codes, chances(rows, codes), (), 0)
    best = max(trials.values(), key=lambda each: each.auroc).auroc
    assert found.trial.auroc == pytest.approx(best, abs=0.03)  # on the same pictures in another order


def test_false_alarms_are_as_many_as_asked_for() -> None:
    rows, codes = clouds(2_400)
    found = learn(rows[:400], codes[:400], chances(rows[:400], codes), (), 0)
    typical = found.typical(rows[400:], chances(rows[400:], codes))
    for alarms in (0.01, 0.05, 0.2):
        assert abs((typical <= alarms).mean() - alarms) < 4 * np.sqrt(alarms * (1 - alarms) / 400)
    far = found.typical(
        np.random.default_rng(2).normal(size=(50, 40)).astype(np.float32) * 3 - 2, np.full((50, 4), 0.25)
    )
    assert far.min() >= 1 / 401 and (far <= 0.01).mean() > 0.9


def test_a_p_value_counts_the_training_pictures_that_are_as_unlike() -> None:
    rows, codes = clouds(120)
    found = learn(rows, codes, chances(rows, codes), (), 0)
    scores = SCORES[found.name].of(found.fitted, found.coordinates.of(rows[:30]), chances(rows[:30], codes))
    counted = [(1 + (found.known >= score).sum()) / 121 for score in scores]
    assert found.typical(rows[:30], chances(rows[:30], codes)) == pytest.approx(counted)


def test_with_two_classes_only_distances_can_be_tried() -> None:
    rows, codes = clouds(300, 2)
    trials = choose(rows, codes, ())
    assert trials["doubt"].auroc == trials["relative"].auroc == 0.5
    assert learn(rows, codes, chances(rows, codes), (), 0).name in ("neighbour", "mahalanobis")


def test_pictures_too_few_to_leave_any_out_have_a_score_all_the_same() -> None:
    rows = clouds(4, 2)[0]
    found = learn(rows, np.array([0, 0, 1, 1]), np.full((4, 2), 0.5), (), 0)
    assert found.trial.sets == 0 and np.isnan(found.trial.auroc)
    assert found.typical(rows, np.full((4, 2), 0.5)).min() >= 1 / 5


def test_a_score_is_calibrated_by_fits_without_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty, "SCORES", {"mahalanobis": SCORES["mahalanobis"]})
    rows, codes = clouds(1_200, width=100)
    found = learn(rows[:200], codes[:200], chances(rows[:200], codes), (), 0)
    typical = found.typical(rows[200:], chances(rows[200:], codes))
    assert (typical <= 0.05).mean() < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize("n", [20, 200])
def test_rows_that_are_all_the_same_are_all_typical(n: int) -> None:
    rows, codes = np.ones((n, 30), np.float32), np.arange(n) % 3
    found = learn(rows, codes, np.full((n, 3), 1 / 3), (), 0)
    assert (found.typical(rows, np.full((n, 3), 1 / 3)) == 1).all()
