"""All that a killed training needs to go on as if nothing had happened, in one file that is never half-written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cache.errors import UserError
from cache.storage.hdf5 import UNREADABLE, read_arrays, write_arrays
from classify.training.history import Epoch

FORMAT = 2  # since all arrays are sealed together
GROUPS = ("weights", "head", "best", "state")
Arrays = Sequence[np.ndarray]


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch.

    `weights` and `head` are the trainable variables now and before the first step, `best` what epoch `best_epoch` came
    to; `state` is whatever else moves: optimizer slots, step counter, random seeds of dropout layers. `losses` (n,) are
    the training pictures' own, of the last time that each was trained on; None where epochs skip none.
    """

    epochs: Sequence[Epoch]
    weights: Arrays
    head: Arrays
    best: Arrays
    best_epoch: int
    state: Arrays
    losses: np.ndarray | None = None

    def save(self, path: Path) -> None:
        """Write the file, replacing an older one at once; UserError on a full disk, the older one intact."""
        facts = {"epochs": [asdict(epoch) for epoch in self.epochs], "best_epoch": self.best_epoch}
        arrays = {"facts": np.frombuffer(json.dumps(facts).encode("ascii"), np.uint8)}
        if self.losses is not None:
            arrays["losses"] = self.losses
        for name in GROUPS:
            arrays |= {f"{name}-{number:04d}": array for number, array in enumerate(getattr(self, name))}
        write_arrays(path, FORMAT, arrays)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read the file back; UserError when it is damaged, or of another version."""
        advice = "Run finetune without --resume: cached activations are kept."
        try:
            arrays, sealed = read_arrays(path, FORMAT, advice)
            if not sealed:
                raise ValueError("it has no SHA-256 of its content")
            read = {
                group: [arrays[name] for name in sorted(arrays) if name.startswith(f"{group}-")]
                for group in GROUPS
            }
            facts = json.loads(arrays["facts"].tobytes())
            epochs = [Epoch(**fields) for fields in facts["epochs"]]
            return cls(epochs, best_epoch=facts["best_epoch"], losses=arrays.get("losses"), **read)
        except (FileNotFoundError, *UNREADABLE) as error:
            raise UserError(
                f"Expected a checkpoint in {path}, received a damaged file or one of an older version ({error}). "
                f"{advice}"
            ) from error
