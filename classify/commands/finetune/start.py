"""Where a fine-tune starts: a head, and the pictures that decide whether anything beats it.

The head was fitted on the whole training part, so it cannot be judged on a piece of it. Unless the data set brings a
validation part of its own, some training pictures are set aside, and the head is fitted again, with the same
settings, on the others. Where there are few, no part can be spared and a small part would tell nothing: then every
picture validates once, in one of several folds, and what is chosen is trained again on all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cache.dataset import Embedded
from cache.errors import UserError
from cache.text import counted
from cache.workspace import Workspace
from classify.data.division import Division, divide, set_aside
from classify.data.labelled import Labelled
from classify.data.splits import TRAIN, VAL
from classify.data.views import with_views
from classify.heads.calibration import CalibratedHead
from classify.heads.fitting.fitters import fit_weighted
from classify.models.linear import LinearHead, distil, fold
from classify.runs.folder import best_run, relocated
from classify.runs.head_file import LoadedHead, load_head
from classify.runs.record import record_of
from classify.training.settings import OWN_PART, Settings
from extract.embedding.progress import Progress
from extract.pictures.policies import Views

FEW = 500  # training pictures: up to here five folds take a few minutes, and a sixth of them would say little
FOLDS = 5
NEVER = -30.0  # logit of a class that a fold has no picture of


@dataclass(frozen=True)
class Trial:
    """Rows of the manifest to train on and to validate on, and the head fitted on the former alone."""

    fit: np.ndarray  # (f,)
    val: np.ndarray  # (v,)
    head: CalibratedHead
    linear: LinearHead  # the same, or what was distilled from it; all classes of the data set's head


@dataclass(frozen=True)
class Start:
    """What to train and how: a head, its data set, and one trial (a validation part) or several (folds)."""

    settings: Settings
    loaded: LoadedHead
    division: Division
    trials: Sequence[Trial]
    linear: LinearHead  # of the head itself
    distilled: bool
    notes: Sequence[str]

    @property
    def data(self) -> Embedded:
        """The data set with its embeddings."""
        return self.division.data

    @property
    def train(self) -> np.ndarray:
        """Rows of the manifest that train, in one trial or another."""
        return np.unique(np.concatenate([trial.fit for trial in self.trials]))

    @property
    def val(self) -> np.ndarray:
        """Rows of the manifest that validate, trial by trial."""
        return np.concatenate([trial.val for trial in self.trials])

    def codes(self, rows: np.ndarray) -> np.ndarray:
        """Column of each row's class in the head's order, (n,) int; -1 for a class it does not know."""
        order = {name: code for code, name in enumerate(self.linear.classes)}
        return np.array([order.get(name, -1) for name in self.division.names[rows].tolist()], int)

    def weight(self, rows: np.ndarray) -> np.ndarray | None:
        """Weight of each training row, with mean 1; None where all are equal."""
        weight = self.division.weight_of(rows)
        return None if weight is None else weight / weight.mean()

    @property
    def floor(self) -> float:
        """Accuracy of the trials' heads on their validation rows; above their linear likenesses' if distilled."""
        right = [
            trial.head.predict(self.data.embedding[trial.val]) == self.division.names[trial.val]
            for trial in self.trials
        ]
        return float(np.concatenate(right).mean())


def head_of(workspace: Workspace, run: Path | None, *, trust: bool) -> LoadedHead:
    """Load the head to start from: of a run of fit-head, or else the best linear one, or else the best.

    Raises
    ------
    UserError
        When there is none, or this user did not make it and `trust` is false.
    """
    return load_head(workspace, run, trust=trust) if run else _best_linear(workspace, trust)


def begin(
    workspace: Workspace,
    loaded: LoadedHead,
    settings: Settings,
    *,
    say: Callable[[str], None],
    progress: Progress | None = None,
) -> Start:
    """Divide a head's data set as it was divided then.

    Parameters
    ----------
    workspace : Workspace
    loaded : LoadedHead
    settings : Settings
        Of them the share that validates and the class weights matter here.
    say : callable (line of text)
    progress : Progress, optional
        Told of the embedding of views that the head was trained on and that are no longer in the cache.

    Raises
    ------
    UserError
        When its embeddings are gone, or a part would be empty.
    """
    record = loaded.record
    parameters = record["parameters"]
    data = workspace.load(record["dataset"], record["space"]["id"])
    division = divide(
        workspace,
        data,
        test_size=parameters["test_size"],
        seed=parameters["seed"],
        shares=parameters.get("split"),  # absent from runs of older versions
        group_by=parameters["group_by"],
        class_weight=settings.class_weight or parameters["class_weight"],
        progress=progress,
    )
    if (views := Views(**parameters.get("views", {}))).number:
        division = with_views(workspace, division, views, progress, say)
        note = f"{loaded.folder.name} trained on {views}: so does its head where it is fitted again"
        division = replace(division, notes=[*division.notes, note])
        say(note)
    notes = list(division.notes)
    if division.sha256 != record["data_sha256"]:
        notes.append(
            f"{data.name} has changed since {loaded.folder.name}: pictures tested then are still not trained on"
        )
    current = workspace.state().get("dataset")
    if current not in (None, data.name):
        notes.append(
            f"{loaded.folder.name} is of {data.name}, though {current} was extracted last: run fit-head to use it"
        )
        say(notes[-1])
    unknown = sorted(set(division.y.tolist()) - set(loaded.head.classes_.tolist()))
    if unknown:
        raise UserError(
            f"Expected training pictures of the classes that the head of {loaded.folder.name} knows, received "
            f"{', '.join(unknown)} too. Run fit-head again."
        )
    reuse = division.sha256 == record["data_sha256"]
    reuse = reuse and settings.class_weight in (None, parameters["class_weight"])
    whole = loaded.head if reuse else _refit(loaded, division, np.flatnonzero(division.split.part == TRAIN))
    linear = fold(whole)
    distilled = linear is None
    if linear is None:
        linear = distil(whole, division.X)
    trials = [
        _trial(loaded, division, fit, val, linear, reuse)
        for fit, val in _parts(division, settings.val_size, parameters["seed"])
    ]
    idle = _idle_val_size(settings, division, trials)
    for note in idle:
        say(note)
    notes += idle
    start = Start(settings, loaded, division, trials, linear, distilled, notes)
    notes = notes + _missing(start)
    if distilled:
        notes.append(_cost(start))
        say(notes[-1])
    return replace(start, notes=notes)


def _best_linear(workspace: Workspace, trust: bool) -> LoadedHead:
    """The best run's head if it is linear; else the best linear one on the same data and space; else the best."""
    best = load_head(workspace, _origin(workspace, best_run(workspace)), trust=trust)
    if fold(best.head) is not None:
        return best
    others = []
    for folder in workspace.runs.glob("*-fit-head"):
        record = record_of(folder)
        if all(record.get(name) == best.record[name] for name in ("data_sha256", "space")):
            others.append((record["head"]["cv_accuracy"], folder, record))
    for _, folder, record in sorted(others, key=lambda other: other[:2], reverse=True):
        loaded = load_head(workspace, folder, trust=trust, record=record)
        if fold(loaded.head) is not None:
            return loaded
    return best


def _origin(workspace: Workspace, run: Path) -> Path:
    """The fit-head run behind a fine-tuned one, also after the workspace was moved with its runs."""
    record = record_of(run)
    if record.get("command") != "finetune":
        return run
    return relocated(record["start"]["run"], workspace.runs)


def _parts(division: Division, val_size: float, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit and rows to validate on: the data set's own, a share of the training part, or folds of it."""
    train = np.flatnonzero(division.split.part == TRAIN)
    if len(train) <= FEW and not (division.split.part == VAL).any():
        return _folds(train, division, seed)
    return [set_aside(division, val_size, seed)]


def _idle_val_size(settings: Settings, division: Division, trials: Sequence[Trial]) -> list[str]:
    """Say so where --val-size decided nothing."""
    if (division.split.part == VAL).any():
        return settings.idle_val_size(OWN_PART)
    if len(trials) == 1:
        return []
    train = counted(len(division.y), "training picture")
    return settings.idle_val_size(f"of {train}, {FEW} at most, each validates once, in {len(trials)} folds")


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
    loaded: LoadedHead, division: Division, fit: np.ndarray, val: np.ndarray, whole: LinearHead, reuse: bool
) -> Trial:
    """Fit the head of a trial; `reuse` the one there is where it was fitted on these very rows."""
    head = loaded.head if reuse and len(fit) == len(division.y) else _refit(loaded, division, fit)
    linear = fold(head) or distil(head, division.data.embedding[fit], (whole.scaling,))
    return Trial(fit, val, head, _widened(linear, whole.classes))


def _refit(loaded: LoadedHead, division: Division, fit: np.ndarray) -> CalibratedHead:
    """The same head, fitted on some rows with the weights there are now."""
    from sklearn.base import clone
    from threadpoolctl import threadpool_limits

    names = division.names[fit]
    if len(np.unique(names)) < 2:
        raise UserError(
            f"Expected training pictures of two classes at least, received {len(fit)} of {str(names[0])!r} once some "
            "were set aside for validation. Add pictures of the other classes."
        )
    views = None if division.views is None else division.views[:, division.places(fit)]
    data = Labelled(division.data.embedding[fit], names, division.weight_of(fit), views=views)
    pipeline = clone(loaded.head.pipeline)
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


def _missing(start: Start) -> list[str]:
    """Say which classes nothing validates."""
    names = start.division.names
    missing = sorted(set(names[start.train].tolist()) - set(names[start.val].tolist()))
    if not missing:
        return []
    return [f"the validation part has no picture of {', '.join(missing)}: nothing is known of it there"]


def _cost(start: Start) -> str:
    """Say what was lost by making a linear head of one that is not."""
    right = [
        trial.linear.logits(start.data.embedding[trial.val]).argmax(axis=1) == start.codes(trial.val)
        for trial in start.trials
    ]
    after = np.concatenate(right).mean()
    return (
        f"{start.loaded.record['head']['name']} is not linear: a linear head was fitted to its probabilities; "
        f"validation accuracy {start.floor:.1%} became {after:.1%} (n = {len(start.val)})"
    )
