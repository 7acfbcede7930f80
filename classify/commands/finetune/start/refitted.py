"""A head of the same kind on one network's plain rows, where the run's own takes more than can be fine-tuned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from classify.commands.finetune.start.rows import Network, taken
from classify.data.division import Division
from classify.heads.calibration import CalibratedHead, fit_temperature
from classify.heads.mlp import BATCH_NORM, shape_mlp
from classify.heads.search import SearchOptions, search
from classify.heads.settings import applied
from classify.heads.table import HEADS, Head
from classify.runs.head_file import LoadedHead
from classify.runs.inputs import Input, inputs_of, to_record
from classify.runs.record import of_space

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True, eq=False)
class Original:
    """The run's own head beside the one that was fitted in its place."""

    loaded: LoadedHead
    division: Division  # its rows are those that this head takes
    val_accuracy: float  # of such heads, fitted on the trials' training rows alone, on their validation rows
    answering: (
        LoadedHead | None
    )  # itself, or one like it on floats where its rows are in integers, if that is another
    validated: np.ndarray  # (v, C) what heads like `answering`, fitted likewise, answer to `Start.val`

    @property
    def cv_accuracy(self) -> float:
        """As `fit-head` found it."""
        return float(self.loaded.record["head"]["cv_accuracy"])

    @property
    def name(self) -> str:
        """As people know it."""
        return f"{self.loaded.record['head']['name']} of {self.loaded.folder.name}"


def refit(
    loaded: LoadedHead, division: Division, networks: Sequence[Network], say: Callable[[str], None]
) -> tuple[Network, LoadedHead, Division]:
    """Fit a head of the same kind on the plain rows of each network: the same grid, folds and seed.

    Parameters
    ----------
    loaded : LoadedHead
    division : Division
        With the rows of all networks.
    networks : sequence of Network
    say : callable (line of text)
        Told of each head.

    Returns
    -------
    network : Network
        The one with which CV accuracy is highest.
    loaded : LoadedHead
        The head on it, whose record names its CV accuracy and what it takes.
    division : Division
        With the rows that it takes.
    """
    parameters = loaded.record["parameters"]
    how = SearchOptions(parameters["folds"], parameters["seed"], parameters.get("n_jobs"))
    best: tuple[Network, LoadedHead, Division] | None = None
    for network in networks:
        rows = taken(division, [network.plain])
        found = search(_kind(loaded), rows, how)
        codes = np.searchsorted(found.classes, rows.y)
        head = CalibratedHead(found.pipeline, fit_temperature(found.scores, codes))
        say(
            f"{loaded.record['head']['name']} on {network.plain}: cross-validated accuracy {found.cv_accuracy:.1%}"
        )
        if best is None or found.cv_accuracy > best[1].record["head"]["cv_accuracy"]:
            described = {"cv_accuracy": found.cv_accuracy, "params": found.settings}
            record = of_inputs(loaded.record, [network.plain], described)
            best = network, LoadedHead(head, record, loaded.folder), rows
    assert best is not None
    return best


def change(original: Original, plain: LoadedHead) -> str:
    """Say what fitting the head anew changed."""
    name, record = original.loaded.record["head"]["name"], plain.record
    takes = " and ".join(map(str, inputs_of(original.loaded.record)))
    return (
        f"{original.name} takes {takes}, CV {original.cv_accuracy:.1%}; what is fine-tuned is one network in float32, "
        f"from its plain rows: {name} was fitted again on {inputs_of(record)[0]}, CV "
        f"{record['head']['cv_accuracy']:.1%} (n = {len(original.division.y):,})"
    )


def of_inputs(
    record: Mapping[str, Any], inputs: Sequence[Input], head: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a run says of a head like its own that takes `inputs`, with what is another of the `head`."""
    return {
        **record,
        "head": {**record["head"], **(head or {})},
        "space": of_space(inputs[0].space),
        "inputs": to_record(inputs),
    }


def unfitted(loaded: LoadedHead) -> Pipeline:
    """A head's Pipeline, to be fitted again with the same settings; of a head as arrays they are in run.json."""
    from sklearn.base import clone

    if isinstance(loaded.head, CalibratedHead):
        return clone(loaded.head.pipeline)
    head = _kind(loaded)
    if head.large and loaded.head.kind not in ("duels", "rbf"):
        head = head.large
    return applied(head.make(), loaded.record["head"].get("params") or {}, loaded.head.widths)


def _kind(loaded: LoadedHead) -> Head:
    """The head as `fit-head` searched it; one of the user's own has the setting that was chosen."""
    name, parameters = loaded.record["head"]["name"], loaded.record["parameters"]
    if name in ("mlp", BATCH_NORM):
        hidden = parameters.get("hidden")
        (head,) = shape_mlp([HEADS["mlp"]], hidden and tuple(hidden), parameters.get("batch_norm", False))
        return head
    if name in HEADS:
        return HEADS[name]
    if not isinstance(loaded.head, CalibratedHead):
        raise UserError(
            f"Expected a head among {', '.join(HEADS)} in {loaded.folder}, received {name!r}: a newer coldframe fitted "
            "it. Update this one, or name another run with --run."
        )
    return Head(name, lambda: unfitted(loaded), lambda width: {}, rank=len(HEADS))
