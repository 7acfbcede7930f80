"""Where a fine-tune starts: a head, and the pictures that decide whether anything beats it.

The head was fitted on the whole training part, so it cannot be judged on a piece of it. Unless the data set brings a
validation part of its own, some training pictures are set aside, and the head is fitted again, with the same
settings, on the others. Where there are few, no part can be spared and a small part would tell nothing: then every
picture validates once, in one of several folds, and what is chosen is trained again on all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cache.dataset import Embedded
from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.finetune.start.refitted import Original, change, of_inputs, refit
from classify.commands.finetune.start.rows import Network, in_integers, load_rows, networks_of, taken
from classify.commands.finetune.start.trials import Trial, head_for, idle, trials_of
from classify.data.division import Division, divide
from classify.data.splits import TRAIN
from classify.data.views import with_views
from classify.heads.arrays import ArrayHead
from classify.heads.calibration import CalibratedHead
from classify.models.linear import LinearHead, distil, fold
from classify.runs.head_file import LoadedHead
from classify.runs.inputs import inputs_of
from classify.training.settings import Settings
from extract.embedding.progress import Progress
from extract.pictures.policies import Views
from extract.settings import Options


@dataclass(frozen=True)
class Start:
    """What to train and how: a head, its data set, and one trial (a validation part) or several (folds)."""

    settings: Settings
    loaded: LoadedHead
    network: Network  # which the head is on
    division: Division
    trials: Sequence[Trial]
    linear: LinearHead  # of the head itself
    distilled: bool
    notes: Sequence[str]
    original: Original | None = None  # the run's head, where `loaded` was fitted in its place
    lost: Sequence[int] = ()  # rows that cannot be read again

    @property
    def data(self) -> Embedded:
        """The data set with its embeddings."""
        return self.division.data

    @property
    def train(self) -> np.ndarray:
        """Rows of the manifest that train, in one trial or another."""
        return np.unique(np.concatenate([trial.fit for trial in self.trials]))

    @property
    def trained(self) -> np.ndarray:
        """Rows of the manifest that train in the end, if the head is left: with --refit those that validate, too."""
        if not self.settings.refit:
            return self.train
        return np.union1d(self.train, self.val[self.codes(self.val) >= 0])

    @property
    def val(self) -> np.ndarray:
        """Rows of the manifest that validate, trial by trial."""
        return np.concatenate([trial.val for trial in self.trials])

    @property
    def validated(self) -> np.ndarray:
        """Which of `val` are there to validate, (v,) bool."""
        return ~np.isin(self.val, self.lost)

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
        return _accuracy(self.division, self.trials, [trial.head for trial in self.trials])


def begin(
    workspace: Workspace,
    loaded: LoadedHead,
    settings: Settings,
    *,
    say: Callable[[str], None],
    progress: Progress | None = None,
    options: Options | None = None,
    trust: bool = False,
) -> Start:
    """Divide a head's data set as it was divided then, and fit the head on its parts.

    Where it takes more than the plain rows of one network in floats, a head of the same kind is fitted on those of the
    network with which that is best, and starts in its place.

    Parameters
    ----------
    workspace : Workspace
    loaded : LoadedHead
    settings : Settings
        Of them the share that validates and the class weights matter here.
    say : callable (line of text)
    progress : Progress, optional
        Told of the embedding of rows, and of views that the head was trained on, that are not in the cache.
    options : Options, optional
        What embeds them.
    trust : bool
        Load a network that this user never named.

    Raises
    ------
    UserError
        When its embeddings are gone, or a part would be empty.
    """
    record, inputs = loaded.record, inputs_of(loaded.record)
    parameters, name = record["parameters"], loaded.folder.name
    networks = networks_of(workspace, inputs, options, say, trust=trust)
    data = load_rows(workspace, record["dataset"], inputs, networks, options, progress, trust=trust)
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
        note = f"{name} trained on {views}: so does its head where it is fitted again"
        division = replace(division, notes=[*division.notes, note])
        say(note)
    notes = [*division.notes, *_changes(workspace, loaded, division, say)]
    unknown = sorted(set(division.y.tolist()) - set(loaded.head.classes_.tolist()))
    if unknown:
        raise UserError(
            f"Expected training pictures of the classes that the head of {name} knows, received "
            f"{', '.join(unknown)} too. Run fit-head again."
        )
    fitted = division.sha256 == record["data_sha256"]
    fitted = fitted and settings.class_weight in (None, parameters["class_weight"])
    own = taken(division, inputs)
    alone = (networks[0].plain,) == inputs
    network, plain, rows = (networks[0], loaded, own) if alone else refit(loaded, division, networks, say)
    as_it_is = fitted or not alone
    whole = head_for(plain, rows, np.flatnonzero(rows.split.part == TRAIN), fitted=as_it_is)
    linear = fold(whole)
    distilled = linear is None
    if linear is None:
        linear = distil(whole, rows.X)
    trials = trials_of(plain, rows, linear, settings.val_size, fitted=as_it_is)
    for note in idle(settings, rows, trials):
        say(note)
        notes.append(note)
    original = None
    if not alone:
        heads = [head_for(loaded, own, trial.fit, fitted=fitted) for trial in trials]
        right = _accuracy(own, trials, heads)
        answers = _answers(own, trials, heads, loaded.head.classes_)
        original = Original(loaded, own, right, loaded, answers)
        if any(in_integers(each.space) for each in inputs):
            original = replace(original, **_in_floats(loaded, division, networks, trials))
        notes.append(change(original, plain))
        say(notes[-1])
    start = Start(settings, plain, network, rows, trials, linear, distilled, notes, original)
    notes = notes + _missing(start)
    if distilled:
        notes.append(_cost(start))
        say(notes[-1])
    return replace(start, notes=notes)


def _changes(
    workspace: Workspace, loaded: LoadedHead, division: Division, say: Callable[[str], None]
) -> list[str]:
    """Say what is another since the head was fitted: the pictures, or the data set in use."""
    data, name, notes = division.data, loaded.folder.name, list[str]()
    if division.sha256 != loaded.record["data_sha256"]:
        notes.append(f"{data.name} has changed since {name}: pictures tested then are still not trained on")
    current = workspace.state().get("dataset")
    if current not in (None, data.name):
        notes.append(f"{name} is of {data.name}, though {current} was extracted last: run fit-head to use it")
        say(notes[-1])
    return notes


def _accuracy(
    division: Division, trials: Sequence[Trial], heads: Sequence[CalibratedHead | ArrayHead]
) -> float:
    """Of the trials' heads on their validation rows, together."""
    right = [
        head.predict(division.data.embedding[trial.val]) == division.names[trial.val]
        for head, trial in zip(heads, trials, strict=True)
    ]
    return float(np.concatenate(right).mean())


def _in_floats(
    loaded: LoadedHead, division: Division, networks: Sequence[Network], trials: Sequence[Trial]
) -> dict[str, Any]:
    """What of an `Original` on rows in integers can be part of a Keras model: the same head, fitted again on floats."""
    inputs = [network.floats for network in networks]
    if len(inputs) < len(loaded.inputs) or inputs == [networks[0].plain]:
        return {"answering": None}
    rows = taken(division, inputs)
    head = head_for(loaded, rows, np.flatnonzero(rows.split.part == TRAIN), fitted=False)
    heads = [head_for(loaded, rows, trial.fit, fitted=False) for trial in trials]
    return {
        "answering": LoadedHead(head, of_inputs(loaded.record, inputs), loaded.folder),
        "validated": _answers(rows, trials, heads, head.classes_),
    }


def _answers(
    division: Division,
    trials: Sequence[Trial],
    heads: Sequence[CalibratedHead | ArrayHead],
    classes: np.ndarray,
) -> np.ndarray:
    """Probabilities (v, C) of the trials' heads on their validation rows; 0 for a class that a head does not know."""
    found = []
    for head, trial in zip(heads, trials, strict=True):
        answers = np.zeros((len(trial.val), len(classes)))
        columns = np.searchsorted(classes, head.classes_)
        answers[:, columns] = head.predict_proba(division.data.embedding[trial.val])
        found.append(answers)
    return np.concatenate(found)


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
