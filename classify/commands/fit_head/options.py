"""What `fit-head` may be told: every default, type and help once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from cache.commands.options import DATA, FLAT, PARTS, VIEWS, Names, OfDataSet, Positive, Time, Widths
from extract.pictures.policies import Views
from extract.settings import Address

BUDGET = 60.0  # seconds that `all` searches unless told otherwise


@dataclass(frozen=True)
class FitOptions:
    """What to fit and how; whatever of it changes a figure is in run.json."""

    models: Annotated[Names, Parameter(name="--model")] = ("logreg",)
    """a head, several with commas, all, or module:factory for one of your own"""
    folds: Positive = 5
    """of cross-validation"""
    test_size: Annotated[float, Parameter(group=PARTS)] = 0.2
    """held-out share where the data has none"""
    split: Annotated[str | None, Parameter(group=PARTS, metavar="TRAIN/VAL/TEST")] = None
    """shares of the parts, as 80/10/10 or 80/20"""
    seed: int = 0
    """of split and folds"""
    n_jobs: Annotated[Positive | None, Parameter(name="--jobs", metavar="N")] = None
    """threads (default: one per core)"""
    max_memory_gb: float | None = None
    """memory to use; rows that need more are read block by block (default: a third of what there is)"""
    budget: Time | None = None
    """time for all searches, as 90s or 5m (default for --model all: 60s)"""
    parts: Annotated[str, Parameter(choices=("auto", "top", "all"))] = "auto"
    """of rows of every stage: all, top (the plain embedding), or auto, which tries both"""
    class_weight: Annotated[str, Parameter(choices=("none", "balanced"))] = "none"
    """balanced: classes count alike"""
    group_by: Annotated[str | None, Parameter(metavar="COLUMN")] = None
    """keep rows with the same value together (tables only)"""
    curve: Annotated[bool, Parameter(parse=False)] = True  # of the best head
    views: Annotated[Views, FLAT, Parameter(group=VIEWS)] = Views()
    hidden: Widths | None = None
    """widths of the mlp's hidden layers, as 2048,1024 or 1024 (default: the search tries two)"""
    batch_norm: bool = False
    """normalise batches before each layer of the mlp"""


@dataclass(frozen=True, kw_only=True)
class FitHeadOptions(OfDataSet):
    """What `fit-head` may be told."""

    fit: Annotated[FitOptions, FLAT] = FitOptions()
    space: Annotated[str | None, Parameter(group=DATA, metavar="ID")] = None
    """start of a space's id, or of several with commas (default: what was used last)"""
    backbones: Annotated[Names, Parameter(name="--backbone", group=DATA)] = ()
    """in place of --space: a network of which rows are there, or several with commas"""
    no_curve: bool = False
    """leave out the learning curve of the best head"""
    ray: Address = None
    """try settings on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT; without an address, on one of this machine's
    cores; --jobs then are the fits at once over all nodes"""
