"""What `audit` may be told: every default, type and help once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter, Token

from cache.commands.options import OfDataSet, Positive
from classify.commands.options import Run


def _share(_: object, tokens: Sequence[Token]) -> float:
    text = tokens[0].value
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 0.5:
        raise ValueError(f"expected a share of at most a half, such as 5% or 0.05, received {text}.")
    return share


Share = Annotated[float, Parameter(converter=_share, n_tokens=1, metavar="SHARE")]


@dataclass(frozen=True, kw_only=True)
class AuditOptions(OfDataSet):
    """What `audit` may be told."""

    run: Run = None
    """the run whose answers judge the labels (default: the newest that cross-validated, else a head of its own)"""
    planted: Share | None = None
    """also test the audit: change this share of labels in copies, as 5%, and count what it finds"""
    seeds: Positive = 5
    """copies to plant errors in"""
    seed: int = 0
    """of folds and of the first copy"""
