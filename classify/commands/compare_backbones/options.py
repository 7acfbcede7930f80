"""What `compare-backbones` may be told: every default, type and help once."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from cyclopts import Parameter

from cache.commands.options import FLAT, NETWORK, Common, File, Names, Positive
from extract.commands.options import DataDir, DataName
from extract.settings import (
    EVERY_STAGE,
    POOLINGS,
    BackboneOptions,
    Columns,
    Decoding,
    Engine,
    Preprocessing,
    Ray,
    Resize,
    Resizer,
)


@dataclass(frozen=True)
class Contest:
    """Who takes part, on what; every field is in run.json."""

    backbones: Annotated[Names, Parameter(name="--backbone", group=NETWORK, show_default=False)] = ()
    """who takes part (default: all whose weights are on this machine)"""
    weights: Annotated[str, Parameter(group=NETWORK, metavar="NAME|FILE")] = "pretrained"
    """pretrained, none (random), or a file for one backbone"""
    input_size: Annotated[Positive | None, Parameter(group=NETWORK, metavar="PIXELS")] = None
    """pixels a side (default: each backbone's own)"""
    pooling: Annotated[str | None, Parameter(choices=(*POOLINGS, EVERY_STAGE), group=NETWORK)] = (
        BackboneOptions.pooling
    )
    """how feature maps become rows, as for extract; stages: rows of every stage compete beside the plain ones within
    them"""
    precisions: Annotated[Names, Parameter(name="--precision", group=NETWORK)] = (BackboneOptions.precision,)
    """of the computation, several with commas: float32,int8 lets each backbone compete in both"""
    sample: Positive = 500  # an interval of 5 points, a few seconds a backbone
    """training pictures, at most"""
    test_size: float = 0.2
    """held-out share, as for fit-head"""
    seed: int = 0
    """of split (as for fit-head), sample and folds"""
    preprocessing: Preprocessing = None
    retime: bool = False
    """measure costs again"""


@dataclass(frozen=True)
class CompareOptions(Common):
    """What `compare-backbones` may be told."""

    source: File | None = None
    """folder or table of pictures (default: the current data set)"""
    _: KW_ONLY
    name: DataName = None
    """name of the data set (default: the folder's, or the current one)"""
    data_dir: DataDir = None
    columns: Annotated[Columns, FLAT] = Columns()
    contest: Annotated[Contest, FLAT] = Contest()
    resize: Resize = Decoding.resize
    resizer: Resizer = Decoding.resizer
    engine: Annotated[Engine, FLAT] = Engine()
    cluster: Annotated[Ray, FLAT] = Ray()
