"""What is said of a picture: by the head, by its limits, and by the training pictures that are most like it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.errors import UserError
from classify.commands.serve.findings import Finding
from classify.data.known import Known
from classify.limits import learned
from classify.limits.checked import ALARMS, LEVEL
from classify.limits.conformal import needed
from classify.limits.learned import Limits
from classify.models.classifier import HeadClassifier, ModelClassifier, Seen
from classify.models.evidence import Trained

TOP, NEAREST = 5, 8  # classes and training pictures that an answer names


@dataclass(frozen=True, eq=False)
class Answerer:
    """A run that is loaded, with what it takes to say how far to trust it; None for what this run cannot tell."""

    classifier: HeadClassifier | ModelClassifier
    limits: Limits | None
    trained: Trained | None
    known: Known | None
    findings: dict[str, list[Finding]]  # of the audit, by the key of a picture in hexadecimal digits
    notes: tuple[str, ...]

    @classmethod
    def of(cls, classifier: HeadClassifier | ModelClassifier, findings: dict[str, list[Finding]]) -> Answerer:
        """Bring together what a run can tell, and say in words what it cannot."""
        if not isinstance(classifier, HeadClassifier):
            why = "a network of its own answers: no sets, nothing is called unknown, no nearest pictures"
            return cls(classifier, None, None, None, findings, (why,))
        notes, limits, trained, known = list[str](), None, None, None
        if os.path.lexists(classifier.run / learned.FILE):
            limits = Limits.load(classifier.run)
            if len(limits.own) < needed(LEVEL):
                notes.append(f"no sets: {len(limits.own):,} training pictures are too few for them")
            if ALARMS < 1 / (1 + len(limits.novelty.known)):
                notes.append("nothing is called unknown: there are too few training pictures to show that")
        else:
            notes.append("no sets, and nothing is called unknown: an older version made this run")
        try:
            trained, known = classifier.known()
        except UserError as error:
            notes.append(f"no nearest pictures: {error}")
        return cls(classifier, limits, trained, known, findings, tuple(notes))

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in order."""
        return [str(name) for name in self.classifier.classes_]

    def answer(self, data: bytes) -> dict[str, Any]:
        """Answer for the bytes of a picture file, of which nothing is kept, as plain values; see the guide.

        Raises
        ------
        RejectedImage
            When they are no picture.
        """
        seen = self.classifier.see(data)
        names, p = self.classifier.classes_, seen.probability.astype(float)
        order = np.argsort(-p, kind="stable")
        found: dict[str, Any] = {
            "key": hashlib.sha256(data).hexdigest(),
            "run": self.classifier.run.name,
            "classes": [
                {"label": str(names[i]), "probability": round(p[i], 6)} for i in order[:TOP].tolist()
            ],
            "set": None,
            "level": float(LEVEL),
            "unknown": None,
            "typical": None,
            "nearest": [],
            "copies": [],
        }
        return found | self._limits(seen, order) | self._near(seen)

    def _limits(self, seen: Seen, order: np.ndarray) -> dict[str, Any]:
        if self.limits is None or seen.row is None:
            return {}
        found: dict[str, Any] = {}
        p, novelty = seen.probability[None], self.limits.novelty
        if len(self.limits.own) >= needed(LEVEL):
            inside = self.limits.sets(p, LEVEL)[0]
            found["set"] = [str(self.classifier.classes_[i]) for i in order.tolist() if inside[i]]
        if ALARMS >= 1 / (1 + len(novelty.known)):
            typical = float(novelty.typical(seen.row[None], p)[0])
            found |= {"unknown": typical <= ALARMS, "typical": round(typical, 6)}
        return found

    def _near(self, seen: Seen) -> dict[str, Any]:
        if self.known is None or seen.row is None or seen.thumbnail is None:
            return {}
        similarity = self.known.similarity(seen.row)
        nearest = np.argsort(-similarity, kind="stable")[:NEAREST]
        copies = self.known.copies(similarity, seen.thumbnail)
        return {
            name: [self._training(row, float(similarity[row])) for row in rows.tolist()]
            for name, rows in {"nearest": nearest, "copies": copies[:NEAREST]}.items()
        }

    def _training(self, row: int, similarity: float) -> dict[str, Any]:
        assert self.trained is not None
        key = self.trained.key[row].tobytes().hex()
        return {
            "key": key,
            "path": str(self.trained.path[row]),
            "label": str(self.trained.label[row]),
            "similarity": round(similarity, 4),
            "flags": [{"kind": each.kind, "why": each.why} for each in self.findings.get(key, ())],
        }
