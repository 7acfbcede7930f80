"""Pictures to train on and to validate on, and the head of the former alone."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cache.errors import UserError
from cache.text import counted
from classify.commands.finetune.start.refitted import unfitted
from classify.data.division import Division, set_aside
from classify.data.labelled import Labelled
from classify.data.splits import TRAIN, VAL
from classify.heads.arrays import ArrayHead
from classify.heads.calibration import CalibratedHead
from classify.heads.fitting.fitters import fit_weighted
from classify.models.linear import LinearHead, distil, fold
from classify.runs.head_file import LoadedHead
from classify.training.settings import OWN_PART, Settings

FEW = 500  # training pictures: up to here five folds take a few minutes, and a sixth of them would say little
FOLDS = 5
NEVER = -30.0  # logit of a class that a fold has no picture of


@dataclass(frozen=True)
class Trial:
    """Rows of the manifest to train on and to validate on, and the head fitted on the former alone."""

    fit: np.ndarray  # (f,)
    val: np.ndarray  # (v,)
    head: CalibratedHead | ArrayHead
    linear: LinearHead  # the same, or what was distilled from it; all classes of the data set's head


def trials_of(
    loaded: LoadedHead, division: Division, linear: LinearHead, val_size: float, *, fitted: bool
) -> list[Trial]:
    """Fit the head anew on the training rows of each trial.

    Parameters
    ----------
    loaded : LoadedHead
        Its settings, and the seed of its run.
    division : Division
    linear : LinearHead
        Of the head itself.
    val_size : float
        Share that validates where nothing else does.
    fitted : bool
        Whether the head was fitted on the very rows and weights of the division: then it need not be again.
    """
    parts = _parts(division, val_size, loaded.record["parameters"]["seed"])
    return [_trial(loaded, division, fit, val, linear, fitted) for fit, val in parts]


def _parts(division: Division, val_size: float, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit and rows to validate on: the data set's own, a share of the training part, or folds of it."""
    train = np.flatnonzero(division.split.part == TRAIN)
    if len(train) <= FEW and not (division.split.part == VAL).any():
        return _folds(train, division, seed)
    return [set_aside(division, val_size, seed)]


def idle(settings: Settings, division: Division, trials: Sequence[Trial]) -> list[str]:
    """Say so where --val-size, --larger, --mirror or --refit decided nothing."""
    if (division.split.part == VAL).any():
        return settings.idle_val_size(OWN_PART)
    if len(trials) == 1:
        return []
    train = counted(len(division.y), "training picture")
    why = f"of {train}, {FEW} at most, each validates once, in {len(trials)} folds"
    asked = {"--larger": settings.larger, "--mirror": settings.mirror, "--refit": settings.refit}
    return [
        *settings.idle_val_size(why),
        *(f"{name} has no effect: {why}, and all train again" for name, given in asked.items() if given),
    ]


def _folds(train: np.ndarray, division: Division, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold

    names, group = division.names[train], division.split.group[train]
    count = min(FOLDS, len(np.unique(group)), int(np.unique(names, return_counts=True)[1].max()))
    if count < 2:
        raise UserError(
            f"Expected at least two training pictures of some class, to train on one and validate on the other; "
            f"received {len(train)} training pictures. Add pictures."
        )
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # fit-head has said it
        return [(train[fit], train[val]) for fit, val in splitter.split(train, names, group)]


def _trial(
    loaded: LoadedHead, division: Division, fit: np.ndarray, val: np.ndarray, whole: LinearHead, fitted: bool
) -> Trial:
    head = head_for(loaded, division, fit, fitted=fitted)
    linear = fold(head) or distil(head, division.data.embedding[fit], (whole.scaling,))
    return Trial(fit, val, head, _widened(linear, whole.classes))


def head_for(
    loaded: LoadedHead, division: Division, fit: np.ndarray, *, fitted: bool
) -> CalibratedHead | ArrayHead:
    """The same head, fitted on some rows with the weights there are now; itself where it was `fitted` on all those."""
    from threadpoolctl import threadpool_limits

    if fitted and len(fit) == len(division.y):
        return loaded.head
    names = division.names[fit]
    if len(np.unique(names)) < 2:
        raise UserError(
            f"Expected training pictures of two classes at least, received {len(fit)} of {str(names[0])!r} once some "
            "were set aside for validation. Add pictures of the other classes."
        )
    views = None if division.views is None else division.views[:, division.places(fit)]
    data = Labelled(division.data.embedding[fit], names, division.weight_of(fit), views=views)
    pipeline = unfitted(loaded)
    with threadpool_limits(1):  # as in the search
        fit_weighted(pipeline, *data.in_all_views(names))
    return CalibratedHead(pipeline, loaded.head.temperature)


def _widened(linear: LinearHead, classes: tuple[str, ...]) -> LinearHead:
    """Give a head that lacks classes a column for each; their logits are never the largest."""
    if linear.classes == classes:
        return linear
    columns = [classes.index(name) for name in linear.classes]
    kernel = np.zeros((len(linear.kernel), len(classes)), np.float32)
    bias = np.full(len(classes), NEVER, np.float32)
    kernel[:, columns], bias[columns] = linear.kernel, linear.bias
    return LinearHead(linear.scaling, kernel, bias, classes)
