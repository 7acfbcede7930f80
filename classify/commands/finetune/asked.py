"""What came of asking the model in other ways: for larger pictures, and for mirror images, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from cache.storage.json_file import build


@dataclass(frozen=True)
class Mirrored:
    """Whether the model answers for a picture and its mirror image together; figures of the validating pictures."""

    used: bool
    val_accuracy: float
    plain_val_accuracy: float  # without the mirror images
    calibrated_loss: float  # nats
    plain_calibrated_loss: float
    val_n: int

    def describe(self) -> str:
        """One line for people."""
        figures = (
            f"{self.val_accuracy:.1%} of {self.val_n:,} validating pictures right against "
            f"{self.plain_val_accuracy:.1%}, calibrated loss {self.calibrated_loss:.3f} against "
            f"{self.plain_calibrated_loss:.3f}"
        )
        if self.used:
            return f"the model answers for a picture and its mirror image together: {figures}"
        return f"mirror images are not asked about: with them {figures}"

    def to_json(self) -> dict[str, Any]:
        """The figures as plain Python values."""
        return asdict(self)


@dataclass(frozen=True)
class Sized:
    """How well the model answers for validating pictures of a size."""

    size: int  # pixels a side
    val_accuracy: float
    calibrated_loss: float  # nats


@dataclass(frozen=True)
class Enlarged:
    """For which size of pictures the model answers; of the sizes that were tried the first is that of the head."""

    size: int
    tried: Sequence[Sized]
    val_n: int

    @property
    def val_accuracy(self) -> float:
        """Of the size that is taken."""
        return next(each.val_accuracy for each in self.tried if each.size == self.size)

    def describe(self) -> str:
        """One line for people."""
        figures = ", ".join(
            f"{each.size} pixels {each.val_accuracy:.1%} {each.calibrated_loss:.3f}" for each in self.tried
        )
        told = f"of {self.val_n:,} validating pictures right, and their calibrated loss: {figures}"
        if self.size == self.tried[0].size:
            return f"the model does not answer for larger pictures than the head; {told}"
        return f"the model answers for pictures of {self.size} pixels; {told}"

    def to_json(self) -> dict[str, Any]:
        """The figures as plain Python values."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Enlarged:
        """Read them back; DamagedJson where something is missing or of another type."""
        found = build(cls, kept)
        return replace(found, tried=[build(Sized, each) for each in found.tried])
