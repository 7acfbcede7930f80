"""Labels and probabilities for embedded pictures."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.space import Space

if TYPE_CHECKING:
    from classify.heads.calibration import CalibratedHead
    from classify.runs.folder import LoadedHead


@dataclass(frozen=True)
class Predictions:
    """The k most probable classes of n pictures: `label` and `probability`, both (n, k), falling."""

    paths: Sequence[str]
    label: np.ndarray
    probability: np.ndarray

    @property
    def columns(self) -> list[str]:
        """path, label, probability, label_2, probability_2, ..."""
        ranks = ["", *(f"_{rank}" for rank in range(2, self.label.shape[1] + 1))]
        return ["path", *(f"{name}{rank}" for rank in ranks for name in ("label", "probability"))]

    def rows(self) -> Iterator[list[Any]]:
        """Yield one list a picture, in the order of `columns`."""
        for path, labels, values in zip(
            self.paths, self.label.tolist(), self.probability.astype(float).round(6).tolist(), strict=True
        ):
            yield [path, *(cell for pair in zip(labels, values, strict=True) for cell in pair)]

    def records(self) -> list[dict[str, Any]]:
        """Return one dictionary a picture."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows()]

    def csv(self) -> str:
        """Return a CSV file's text; `csv_bytes` encodes it."""
        return csv_text(self.columns, self.rows())


def classify_rows(head: CalibratedHead, X: np.ndarray, paths: Sequence[str], top: int = 1) -> Predictions:
    """Find the most probable classes of each picture.

    Parameters
    ----------
    head : CalibratedHead
    X : (n, D) float array
        Embeddings of the head's space.
    paths : sequence of n str
    top : int
        Classes a picture, k; at most the head's number of classes.

    Raises
    ------
    UserError
        When X has another width than the head, or top is below 1.
    """
    if top < 1:
        raise UserError(f"Expected --top of at least 1, received {top}.")
    if X.shape[1] != head.n_features_in_:
        raise UserError(
            f"Expected embeddings of width {head.n_features_in_}, received {X.shape[1]}: this head was "
            "trained in another space. Run `extract` with the backbone of the head, or pass --space."
        )
    return rank(head.predict_proba(X), head.classes_, paths, top)


def rank(probability: np.ndarray, classes: np.ndarray, paths: Sequence[str], top: int) -> Predictions:
    """Take the k most probable of C classes for each picture; probability (n, C), classes (C,) names."""
    # Stable on the negated values: of equal probabilities the first column leads, as in argmax.
    order = np.argsort(-probability, axis=1, kind="stable")[:, :top]
    return Predictions(paths, classes[order], np.take_along_axis(probability, order, axis=1))


def check_space(loaded: LoadedHead, space: Space, width: int) -> None:
    """Refuse embeddings of a space in which the head was not trained.

    Raises
    ------
    UserError
        When the width or the space differs from the one in the head's run.json.
    """
    trained = Space.from_json(loaded.record["space"]["json"])
    if width != loaded.head.n_features_in_:
        what = f"embeddings of width {loaded.head.n_features_in_}, received {width}"
    elif space.id != trained.id:
        what = f"embeddings of space {trained.id[:4]}, received space {space.id[:4]} ({space.backbone})"
    else:
        return
    raise UserError(
        f"Expected {what}: this head was trained in space {trained.id[:4]} ({trained.backbone}). "
        f"Run `extract FOLDER/ --backbone {trained.backbone}`, or name a run of that space with --run."
    )


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a CSV table: RFC 4180 quoting, newline endings."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def csv_bytes(text: str) -> bytes:
    """Encode a CSV table as UTF-8; the undecodable bytes of a file name come out as they were."""
    return text.encode("utf-8", "surrogateescape")
