"""What `compare-backbones` may be told: every default, type and help once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contest:
    """Who takes part, on what; every field is in run.json."""

    backbones: tuple[str, ...] = ()  # none named: all whose weights are on this machine
    weights: str = "pretrained"
    input_size: int | None = None  # None: each backbone's own
    pooling: str = "avg"
    precision: str = "float32"
    sample: int = 500  # pictures: an interval of 5 points, a few seconds a backbone
    test_size: float = 0.2
    seed: int = 0  # of the split (as for fit-head), the sample and the folds
    preprocessing: str | None = None  # None: each backbone's own
    retime: bool = False  # measure costs again
