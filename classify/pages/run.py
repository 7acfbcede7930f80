"""What the folder of a run says, read again for its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.storage.json_file import DamagedJson, read_json
from cache.text import last_name
from cache.workspace import Workspace
from classify.limits import learned
from classify.limits.checked import LEVEL
from classify.limits.conformal import needed
from classify.metrics.evaluation import Evaluation
from classify.metrics.frontier import Frontier, Tried
from classify.runs import scores
from classify.runs.predictions import read_pictures, table_of
from classify.runs.record import read_record
from classify.runs.scores import PARTS, Scores

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Model:
    """A line of the leaderboard: what answered, and how well on the test part. Those that a run lacks are None."""

    name: str
    evaluation: Evaluation
    settings: Mapping[str, Any]
    cv: tuple[float, float] | None = None  # mean and standard deviation over the folds
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run with answers to labelled pictures.

    `answers` has a row for each of its n test pictures: path, label, predicted, probability. `report` is report.json.
    """

    folder: Path
    record: Mapping[str, Any]
    report: Mapping[str, Any]
    answers: pd.DataFrame

    @property
    def command(self) -> str:
        """Which made it."""
        return str(self.record["command"])

    @property
    def dataset(self) -> str:
        """Name of what was tested on."""
        return str(
            self.record.get("dataset") or (self.record.get("result") or {}).get("dataset") or "pictures"
        )

    @property
    def root(self) -> str:
        """Where the pictures lay."""
        return str(self.record.get("root") or "")

    @property
    def source(self) -> str:
        """What the folder of the pictures is called: a page may be sent to others, whom the way to it tells nothing."""
        return last_name(self.root)

    @cached_property
    def models(self) -> Sequence[Model]:
        """The leaderboard; the first is the model that the run keeps."""
        return _MODELS[self.command](self)

    @property
    def evaluation(self) -> Evaluation:
        """Of the model that the run keeps, on the test part."""
        return self.models[0].evaluation

    @property
    def networks(self) -> Frontier | None:
        """Sets of networks that were tried, where there were several."""
        tried = (self.report.get("networks") or {}).get("sets")
        return Frontier([Tried.from_json(each) for each in tried]) if tried else None

    @cached_property
    def scores(self) -> Scores | None:
        """Its answers in full; None where an older version made it, or `evaluate`."""
        return scores.load(self.folder) if (self.folder / scores.FILE).exists() else None

    @cached_property
    def sets(self) -> Mapping[str, Sequence[str]]:
        """The classes in the set of each test picture at 90 %, the likeliest first; empty where nothing was learned."""
        if self.scores is None or not (self.folder / learned.FILE).exists():
            return {}
        limits, classes = learned.Limits.load(self.folder), self.record["head"]["classes"]
        if len(limits.own) < needed(LEVEL):
            return {}
        test = self.scores.part == PARTS.index("test")
        probability = self.scores.probability[test, : len(classes)].astype(np.float64)
        inside, order = limits.sets(probability, LEVEL), np.argsort(-probability, axis=1, kind="stable")
        paths = (path for path, tested in zip(self.scores.path, test.tolist(), strict=True) if tested)
        return {
            path: [classes[i] for i in likely if chosen[i]]
            for path, likely, chosen in zip(paths, order.tolist(), inside, strict=True)
        }

    def keys(self, workspace: Workspace) -> dict[str, bytes]:
        """The image keys by which the pictures of its data set are known, by path; empty where nobody has them."""
        known = _keys(self.scores.path, self.scores.key) if self.scores is not None else {}
        try:
            manifest = workspace.manifest(self.dataset)
        except UserError:
            return known
        return _keys(manifest.paths, manifest.key) | known if manifest.root == self.root else known

    def table(self, name: str) -> pd.DataFrame | None:
        """A CSV file of the run that lists pictures; None where it has none."""
        try:
            return read_pictures(self.folder / name)
        except OSError:
            return None


def _keys(paths: Sequence[str], keys: np.ndarray) -> dict[str, bytes]:
    return {path: key.tobytes() for path, key in zip(paths, keys, strict=True) if key.any()}


def read_run(folder: Path) -> Run:
    """Read the folder of a run.

    Raises
    ------
    UserError
        When it is no finished run, or has no answers to labelled pictures.
    """
    record = read_record(folder)
    if record.get("command") not in _MODELS:
        raise UserError(
            f"Expected a run of {', '.join(_MODELS)}, which have answers to labelled pictures, received {folder.name} "
            f"of {record.get('command')}. `runs ls` lists runs."
        )
    answers = table_of(folder, record, "predictions.csv")
    if answers is None or not len(answers):
        raise UserError(
            f"Expected predictions.csv with the answers of the run in {folder}, found none. Restore it, or train anew."
        )
    try:
        report = read_json(folder / "report.json") if (folder / "report.json").exists() else {}
        found = Run(folder, record, report, answers)
        assert found.models
    except (OSError, DamagedJson, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"Expected the figures that the run in {folder} wrote, in report.json or run.json, but: {error}. Restore "
            "them, or train anew."
        ) from error
    return found


def _heads(run: Run) -> list[Model]:
    return [
        Model(
            each["name"],
            Evaluation.from_json(each["test"]),
            each["params"],
            (each["cv_accuracy"], each["cv_std"]),
            each["seconds"],
        )
        for each in run.report["heads"]
    ]


def _tuned(run: Run) -> list[Model]:
    head, tested, settings = run.record["start"]["head"], run.record["test"], run.record["parameters"]
    before = Model(head, Evaluation.from_json(tested["head"]), {})
    if not run.record["result"]["alpha"]:
        return [Model(f"{head}, kept unchanged", before.evaluation, {})]
    shown = {
        name: settings[name] for name in ("optimizer", "learning_rate", "epochs", "views") if name in settings
    }
    return [Model(f"{head}, fine-tuned", Evaluation.from_json(tested["fine_tuned"]), shown), before]


def _scratch(run: Run) -> list[Model]:
    return [Model("a small network from scratch", Evaluation.from_json(run.record["test"]), {})]


def _evaluated(run: Run) -> list[Model]:
    name, without = Path(run.record["answered_by"]).name, run.record.get("without_copies")
    tested = {name: run.record["test"], "without copies of training pictures": without}
    return [Model(each, Evaluation.from_json(content), {}) for each, content in tested.items() if content]


_MODELS: dict[str, Callable[[Run], list[Model]]] = {
    "fit-head": _heads,
    "finetune": _tuned,
    "baseline": _scratch,
    "evaluate": _evaluated,
}


def wrong(answers: pd.DataFrame) -> np.ndarray:
    """Which rows are mistakes, (n,) bool."""
    return answers["label"].to_numpy() != answers["predicted"].to_numpy()
