"""The table of augmentation policies, how far a view may go from the plain picture; and which views to make."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated

from cyclopts import Parameter

from cache.errors import UserError

# Pictures are decoded this much larger than the view, so that zooming in stays sharp. With bilinear sampling 1.5 came
# closer to views of the full resolution than 1, 1.25 or 2 did, and than bicubic sampling at a third of the speed.
MARGIN = 1.5
_CODE = 1  # raise it when the same parameters come to mean other pixels


@dataclass(frozen=True)
class Policy:
    """How far a view may go from its picture; every range is drawn from uniformly, zero changes nothing."""

    crop: float = 1.0  # least share of the area that a random rectangle keeps
    aspect: float = 1.0  # largest ratio by which that rectangle is wider or higher than the picture
    zoom: float = 0.0  # each axis is scaled by 1 - zoom to 1 + zoom, on its own
    shift: float = 0.0  # of a side, along each axis, either way
    rotation: float = 0.0  # degrees, either way
    shear: float = 0.0  # degrees, either way
    flip: bool = False  # mirrored left to right half the time
    fill: str = "reflect"  # what lies beyond the picture: it mirrored, or its nearest pixel ("nearest")
    brightness: float = 0.0  # of full brightness, added or taken away
    contrast: float = 0.0  # distances from each colour's mean are scaled by 1 - contrast to 1 + contrast
    saturation: float = 0.0  # distances from grey are scaled by 1 - saturation to 1 + saturation
    hue: float = 0.0  # turns of the colour circle, either way

    @property
    def bends(self) -> bool:
        """Tell whether pixels come to lie between the old ones."""
        return (self.crop, self.aspect, self.zoom, self.shift, self.rotation, self.shear) != (
            1,
            1,
            0,
            0,
            0,
            0,
        )

    @cached_property
    def version(self) -> str:
        """Eight hex digits that change with any parameter: other numbers, other space."""
        text = json.dumps([_CODE, MARGIN, dataclasses.asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


# The tutorials are those that people come from: (a) Keras' ImageDataGenerator(shear_range=0.2, zoom_range=0.2,
# horizontal_flip=True); (c) random_flip_left_right, contrast, brightness, hue and saturation of tf.image; (d) the
# ImageDataGenerator with rotation_range=40, width and height_shift_range=0.4, shear_range=0.2, zoom_range=0.3. Keras
# takes a shear in degrees, so that their 0.2 is next to nothing; it stays as written.
POLICIES = {
    "none": Policy(),
    "flip": Policy(flip=True),
    "standard": Policy(
        crop=0.65, aspect=1.15, rotation=8.0, flip=True, brightness=0.1, contrast=0.15, saturation=0.15
    ),
    "strong": Policy(
        crop=0.35,
        aspect=4 / 3,
        rotation=20.0,
        shear=8.0,
        flip=True,
        brightness=0.2,
        contrast=0.4,
        saturation=0.4,
        hue=0.05,
    ),
    "tutorial-a": Policy(zoom=0.2, shear=0.2, flip=True, fill="nearest"),
    "tutorial-c": Policy(flip=True, brightness=0.2, contrast=0.5, saturation=0.5, hue=0.1),
    "tutorial-d": Policy(zoom=0.3, shift=0.4, rotation=40.0, shear=0.2, flip=True, fill="nearest"),
}
NAMES = ", ".join(POLICIES)
AUGMENT = "standard"  # the policy where none is named


def check_policy(name: str) -> None:
    """Refuse a name that is not in the table."""
    if name not in POLICIES:
        raise UserError(f"Expected an augmentation out of {NAMES}; received {name!r}.")


@dataclass(frozen=True)
class Views:
    """How many augmented views of a picture there are besides the plain one, and which.

    Their seed is not that of a split: another split asks for the same views, and computes none of them again.
    """

    number: Annotated[int, Parameter(name="--views", metavar="K")] = 0
    """also use K augmented views of each training picture"""
    augment: Annotated[
        str | None,
        Parameter(metavar="POLICY", help=f"augmentation of the views: {NAMES} (default: {AUGMENT})"),
    ] = None
    seed: Annotated[int, Parameter(parse=False)] = 0

    @classmethod
    def of(cls, number: int, augment: str | None = None) -> Views:
        """Take `--views` and `--augment`, the latter None where it was not given."""
        if number < 0:
            raise UserError(f"Expected --views of 0 or more, received {number}.")
        if augment is not None and not number:
            raise UserError(
                f"Expected --views with --augment {augment}: how many views of each picture. Received none."
            )
        if augment is not None:
            check_policy(augment)
        return cls(number, augment or (AUGMENT if number else None))

    def to_json(self) -> dict:
        """Number, policy and seed."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.number} augmented view{'s' * (self.number != 1)} ({self.augment}) of each picture"
