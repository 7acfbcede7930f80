"""What `fit-head` may be told: every default, type and help once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from extract.embedding.views import Views

BUDGET = 60.0  # seconds that `all` searches unless told otherwise


@dataclass(frozen=True)
class FitOptions:
    """What to fit and how; whatever of it changes a figure is in run.json."""

    models: Sequence[str] = ("logreg",)
    folds: int = 5
    test_size: float = 0.2
    split: str | None = None  # shares of training, validation and test part, as 80/10/10; None: test_size
    seed: int = 0  # of split and folds
    n_jobs: int | None = None  # None: all cores
    budget: float | None = None  # seconds for all searches; None: as long as it takes, or BUDGET for `all`
    class_weight: str = "none"
    group_by: str | None = None  # column of the manifest whose groups stay together
    curve: bool = True  # learning curve of the best head
    views: Views = field(default_factory=Views)  # of the training pictures, to fit on besides the plain ones
    hidden: tuple[int, ...] | None = None  # widths of the mlp's hidden layers; None: the search tries two
    batch_norm: bool = False  # the mlp normalises batches before each layer
