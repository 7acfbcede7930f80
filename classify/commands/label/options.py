"""What `label` may be told: every default, type and help once."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from cache.commands.options import NETWORK, File, Names, OfDataSet, PerCent, Positive
from extract.settings import BackboneOptions

SIMULATION = Group("Simulation", sort_key=2)
SERVER = Group("Server", sort_key=3)


@dataclass(frozen=True)
class LabelOptions(OfDataSet):
    """What `label` may be told."""

    source: File | None = None
    """folder of pictures, at any depth (default: the data set used last, of it what has no label)"""
    _: KW_ONLY
    classes: Names | None = None
    """classes to begin with; others come as they are named"""
    labels: Annotated[File, Parameter(metavar="FILE")] = "labels.csv"
    """table that every answer is appended to; it is continued, and `extract` reads it"""
    order: Annotated[str, Parameter(choices=("auto", "clever", "random"))] = "auto"
    """what is asked first: pictures that tell most of others, or any; auto: as --simulate has found, else clever"""
    seed: int = 0
    """of what is drawn at random"""
    simulate: Annotated[bool, Parameter(group=SIMULATION)] = False
    """label a labelled data set again without asking anybody, and count what the order saves"""
    accuracy: Annotated[PerCent | None, Parameter(group=SIMULATION)] = None
    """to reach, in per cent (default: 95 % of what all labels give)"""
    seeds: Annotated[Positive, Parameter(group=SIMULATION)] = 10
    """repetitions, each with other pictures to be judged by"""
    open: Annotated[bool, Parameter(group=SERVER)] = False
    """open the page in the web browser"""
    port: Annotated[int, Parameter(group=SERVER)] = 0
    """of the address; 0: any that is free"""
    host: Annotated[str | None, Parameter(group=SERVER)] = None
    """address to listen at (default: this machine alone)"""
    expose: Annotated[bool, Parameter(group=SERVER)] = False
    """allow a --host that other machines reach"""
    backbone: Annotated[str, Parameter(group=NETWORK, metavar="NAME")] = BackboneOptions.backbone
    """that embeds a folder; for other settings run extract first, and label --dataset"""
