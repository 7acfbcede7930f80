"""limits.h5: what fit-head learned about how far its head may be trusted, beside the run."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.storage.hdf5 import UNREADABLE, read_arrays, write_arrays
from classify.data.neighbours.directions import Spans
from classify.data.rows.blocks import Rows
from classify.limits import abstention, conformal, novelty
from classify.limits.novelty import SCORES, Coordinates, Novelty, Trial

FORMAT, FILE = 1, "limits.h5"
AGAIN = "Run `fit-head` again: it makes a run that has them."


@dataclass(frozen=True, eq=False)
class Limits:
    """What heads said of N training pictures that they had not seen, and how unlike those a picture may be."""

    own: NDArray[np.float64]  # (N,) probability of a picture's own class
    label: NDArray[np.int32]  # (N,) that class, in the order of the head
    sure: NDArray[np.float64]  # (N,) probability of the answer
    right: NDArray[np.bool_]  # (N,) whether the answer was the class
    novelty: Novelty

    @classmethod
    def learn(
        cls,
        rows: Rows,
        label: NDArray[np.integer],
        probability: NDArray[np.float64],
        group: NDArray[np.integer] | None,
        spans: Spans = (),
        seed: int = 0,
    ) -> Limits:
        """Learn from a training part, of which one picture of each group counts.

        One picture drawn from each group of dependent ones keeps what conformal prediction guarantees for a picture of
        a new group: Dunn, Wasserman and Ramdas 2023, J. Am. Stat. Assoc. 118:2491-2502, section 3.

        Parameters
        ----------
        rows : (n, D) float32
            As the head takes them.
        label : (n,) int
            Class of each, 0 to K - 1.
        probability : (n, K) float
            Out of fold, calibrated.
        group : (n,) int, optional
            Rows with the same number are near copies, or belong together; None: every row is alone.
        spans : sequence of (int, int)
            Columns of the parts of a row; none: it is one part.
        seed : int
        """
        draw = np.random.default_rng(seed)
        drawn = draw.permutation(len(label))
        if group is not None:
            drawn = draw.permutation(drawn[np.unique(group[drawn], return_index=True)[1]])
        p, own = probability[drawn], label[drawn].astype(np.int32)
        few = slice(novelty.ROWS)
        return cls(
            own=p[np.arange(len(p)), own],
            label=own,
            sure=p.max(axis=1),
            right=p.argmax(axis=1) == own,
            novelty=novelty.learn(rows[drawn[few]], own[few], p[few], spans, seed),
        )

    def sets(self, probability: NDArray[np.floating], level: Fraction) -> NDArray[np.bool_]:
        """Which classes are in the set of each of n pictures, (n, K): see `conformal`."""
        least = conformal.least_probabilities(self.own, self.label, probability.shape[1], level)
        return conformal.sets(probability, least)

    def threshold(self, most: float) -> abstention.Threshold:
        """The probability from which on at most a share `most` of the answers is wrong: see `abstention.shown`."""
        return abstention.shown(self.sure, self.right, most)

    def write(self, folder: Path) -> None:
        """Write limits.h5 into the folder of a run, in a single step."""
        found = self.novelty
        arrays = {
            "own": self.own,
            "label": self.label,
            "sure": self.sure,
            "right": self.right.astype(np.uint8),
            "score": np.frombuffer(found.name.encode("ascii"), np.uint8),
            "spans": np.array(found.coordinates.spans, np.int64),
            "centre": found.coordinates.centre,
            "basis": found.coordinates.basis,
            "unit": np.array([found.coordinates.unit]),
            "known": found.known,
            "trial": np.array([found.trial.auroc, found.trial.low, found.trial.high, found.trial.sets]),
        }
        arrays |= {f"fitted_{name}": array for name, array in found.fitted.items()}
        write_arrays(
            folder / FILE, FORMAT, {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        )

    @classmethod
    def load(cls, folder: Path) -> Limits:
        """Read limits.h5 of a run.

        Raises
        ------
        UserError
            When the run has none, or it is damaged.
        """
        path = folder / FILE
        try:
            arrays, sealed = read_arrays(path, FORMAT, AGAIN)
            if not sealed:
                raise ValueError("it has no SHA-256 of its content")
            return cls._of(arrays)
        except FileNotFoundError as error:
            raise UserError(
                f"Expected {FILE} in {folder}, which says how far its head may be trusted, found none: an older "
                f"version made this run, it is no run of fit-head, or it was stopped before its end. {AGAIN}"
            ) from error
        except UNREADABLE as error:
            raise UserError(
                f"Expected how far a head may be trusted in {path}, but: {error}. {AGAIN}"
            ) from error

    @classmethod
    def _of(cls, arrays: dict[str, NDArray]) -> Limits:
        name = arrays["score"].tobytes().decode("ascii")
        if name not in SCORES:
            raise ValueError(f"a score {name!r} that there is not")
        spans = tuple((int(start), int(stop)) for start, stop in arrays["spans"])
        auroc, low, high, sets = arrays["trial"].tolist()
        fitted = {
            key.removeprefix("fitted_"): each for key, each in arrays.items() if key.startswith("fitted_")
        }
        coordinates = Coordinates(spans, arrays["centre"], arrays["basis"], float(arrays["unit"][0]))
        return cls(
            own=arrays["own"],
            label=arrays["label"],
            sure=arrays["sure"],
            right=arrays["right"].astype(bool),
            novelty=Novelty(name, coordinates, fitted, arrays["known"], Trial(auroc, low, high, int(sets))),
        )
