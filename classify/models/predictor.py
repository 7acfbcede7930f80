"""`Predictor`: a run as scikit-learn knows classifiers, for paths, Pillow images and arrays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import UserError
from cache.workspace import Workspace
from classify.models.classifier import HeadClassifier, ModelClassifier
from classify.runs.standing import Standing, answering
from extract.embedding.progress import Progress
from extract.notebook.inputs import listed, name
from extract.sources.unlabelled import unlabelled

_SHOWN = 3  # unreadable pictures that a message names


class Predictor:
    """A run that answers, as `coldframe.load` returns it.

    Attributes
    ----------
    classes_ : ndarray of shape (C,), str
        Class names, in the order of the columns of `predict_proba`.
    run : Path
        Folder of the run, or the .keras file.
    said : str
        Which run answers, why, and what it knows.
    """

    def __init__(
        self,
        workspace: Workspace,
        classifier: HeadClassifier | ModelClassifier,
        named: bool,
        progress: Progress | None = None,
    ) -> None:
        self._classifier, self._progress = classifier, progress or Progress()
        self.classes_: np.ndarray = classifier.classes_
        self.run: Path = classifier.run
        self.said = answering(workspace, self.run, classifier.record, self.classes_.tolist(), named)

    def __repr__(self) -> str:
        standing = Standing.of(self.run, self._classifier.record)
        return f"<Predictor: {standing}, {len(self.classes_)} classes>"

    def predict_proba(self, X: Iterable[Any]) -> np.ndarray:
        """Give each picture a probability for each class.

        Parameters
        ----------
        X : list, array or Series of n pictures
            Each a path (str or Path), a Pillow image, or a uint8 array of shape (h, w), (h, w, 3) or (h, w, 4). Or
            one uint8 array of shape (n, h, w), (n, h, w, 3) or (n, h, w, 4). 0..255, RGB.

        Returns
        -------
        ndarray of shape (n, C), dtype float64
            In the order of `X` and of `classes_`; each row sums to 1.

        Raises
        ------
        UserError
            For what is no picture, or cannot be read; those that can are embedded and kept.
        """
        pictures = listed(X)
        held = {row: picture for row, picture in enumerate(pictures) if not isinstance(picture, str)}
        names = [picture if isinstance(picture, str) else name(row) for row, picture in enumerate(pictures)]
        found = self._classifier.answer(unlabelled(names), self._progress, held)
        if found.rejects:
            listed_ = "; ".join(f"{reject.path}: {reject.reason}" for reject in found.rejects[:_SHOWN])
            more = f"; and {len(found.rejects) - _SHOWN:,} more" if len(found.rejects) > _SHOWN else ""
            raise UserError(
                f"Expected {len(pictures):,} readable pictures, received {len(found.rejects):,} that are not: "
                f"{listed_}{more}. Leave them out, or use `coldframe.predict`, which passes over such files and "
                "takes folders."
            )
        return found.probability.astype(np.float64)

    def predict(self, X: Iterable[Any]) -> np.ndarray:
        """Name the most probable class of each picture: (n,) str; `X` as for `predict_proba`."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def score(self, X: Iterable[Any], y: Iterable[str]) -> float:
        """Share of the pictures that are answered as `y` (n,) says; `coldframe.evaluate` adds intervals and more."""
        return float(np.mean(self.predict(X) == np.asarray(y)))
