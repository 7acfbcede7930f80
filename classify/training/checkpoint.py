"""All that a killed training needs to go on as if nothing had happened, in one file that is never half-written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np

from cache.errors import UserError
from cache.storage.files import write_file
from cache.storage.hdf5 import UNREADABLE, image
from classify.training.history import Epoch

FORMAT = 1
Arrays = Sequence[np.ndarray]


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch.

    `weights`, `head` and `best` are the trainable variables now, before the first step, and after epoch `best_epoch`;
    `state` is whatever else moves: optimizer slots, step counter, random seeds of dropout layers.
    """

    epochs: Sequence[Epoch]
    weights: Arrays
    head: Arrays
    best: Arrays
    best_epoch: int
    state: Arrays

    def save(self, path: Path) -> None:
        """Write the file, replacing an older one at once; UserError on a full disk, the older one intact."""
        groups = {"weights": self.weights, "head": self.head, "best": self.best, "state": self.state}

        def fill(file: h5py.File) -> None:
            file.attrs["format"] = FORMAT
            epochs = json.dumps([asdict(epoch) for epoch in self.epochs]).encode("ascii")
            file["epochs"] = np.frombuffer(epochs, np.uint8)
            file.attrs["best_epoch"] = self.best_epoch
            for name, arrays in groups.items():
                group = file.create_group(name)
                for number, array in enumerate(arrays):
                    group[f"{number:04d}"] = array

        write_file(path, image(fill, sum(a.nbytes + 4096 for arrays in groups.values() for a in arrays)))

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read the file back; UserError when it is damaged or newer than this version."""
        try:
            with h5py.File(path, "r") as file:
                version = int(file.attrs["format"])
                if version > FORMAT:
                    raise UserError(
                        f"Expected format {FORMAT} or older in {path}, received {version}. Update coldframe."
                    )
                read = {
                    name: [file[name][number][()] for number in sorted(file[name])]
                    for name in ("weights", "head", "best", "state")
                }
                epochs = [Epoch(**fields) for fields in json.loads(file["epochs"][()].tobytes())]
                return cls(epochs, best_epoch=int(file.attrs["best_epoch"]), **read)
        except UNREADABLE as error:
            raise UserError(
                f"Expected a checkpoint in {path}, received a damaged file ({error}). Run finetune without --resume."
            ) from error
