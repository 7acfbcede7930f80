"""The head `mlp` with layers of the user's choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cache.errors import UserError
from classify.heads.table import HEADS, Grid, Head

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

BATCH_NORM = "mlp-batch-norm"  # what `--model mlp --batch-norm` is called in tables and records


def shape_mlp(
    heads: Sequence[Head], hidden: tuple[int, ...] | None = None, batch_norm: bool = False
) -> Sequence[Head]:
    """Give the mlp among the heads other layers; without `hidden` and `batch_norm` they are as they were.

    Parameters
    ----------
    heads : sequence of Head
    hidden : tuple of int, optional
        Width of each hidden layer, in place of those that the search tries.
    batch_norm : bool
        Normalise batches before each layer.

    Raises
    ------
    UserError
        When there is no mlp among them.
    """
    if hidden is None and not batch_norm:
        return heads
    if all(head.name != "mlp" for head in heads):
        option = "--batch-norm" if hidden is None else "--hidden"
        received = ",".join(head.name for head in heads)
        raise UserError(
            f"Expected --model mlp with {option}, received --model {received}. Drop one of the two."
        )
    grid: Grid = {"classify__hidden_layer_sizes": [hidden]} if hidden else HEADS["mlp"].grid(0)
    shaped = replace(HEADS["mlp"], grid=lambda width: grid)
    if batch_norm:
        shaped = replace(shaped, name=BATCH_NORM, make=_make)
    return [shaped if head.name == "mlp" else head for head in heads]


def _make() -> Pipeline:
    from sklearn.pipeline import Pipeline

    from classify.heads.fitting.batch_norm_mlp import BatchNormMLP

    return Pipeline([("classify", BatchNormMLP(random_state=0))])  # its first layer standardises
