"""Views: fixed, seeded augmentations of a picture. View 0 is the plain picture and no object of this module.

A view changes the geometry first, by one affine map, so that the picture is resampled once; then the colours, by one
affine map too. How far it may go is up to its policy (extract/pictures/policies.py).
"""

import hashlib
import math
import re
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cache.errors import UserError
from extract.pictures.policies import AUGMENT, MARGIN, POLICIES, Policy, Views, check_policy

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])  # NTSC 1953
_RGB = np.linalg.inv(_YIQ)

# One draw each, whatever the policy uses: a policy that learns to turn mirrors the pictures that it mirrored before.
_DRAWN = (
    *("area", "ratio", "left", "top", "zoom_x", "zoom_y", "shift_x", "shift_y", "rotation", "shear", "flip"),
    *("brightness", "contrast", "saturation", "hue"),
)


@dataclass(frozen=True)
class View:
    """One augmentation of every picture.

    What it does to a picture follows from policy, number, seed and the picture's key alone: in any order, on any
    machine, it is the same.

    Parameters
    ----------
    policy : str
        A key of `POLICIES`.
    number : int
        1, 2, ...; another number is another draw.
    seed : int
    """

    policy: str
    number: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_policy(self.policy)
        if self.number < 1:
            raise UserError(
                f"Expected a view's number to be 1 or more, received {self.number}: 0 is the plain picture."
            )

    @property
    def name(self) -> str:
        """What fixes the view, for `Space.view`."""
        return f"{self.policy}-{POLICIES[self.policy].version};seed {self.seed};number {self.number}"

    @classmethod
    def parse(cls, name: str) -> "View":
        """Read a name back; UserError if this version's policy of that name is another one."""
        parts = re.fullmatch(r"(.+)-[0-9a-f]{8};seed (-?\d+);number (\d+)", name)
        view = cls(parts[1], int(parts[3]), int(parts[2])) if parts else None
        if view is None or view.name != name:
            raise UserError(
                f"Expected a view such as {(view or cls('standard', 1)).name!r}, received {name!r}: another "
                "version of coldframe made it. Run the command that made it again, to have this version's views."
            )
        return view

    def source_size(self, size: int) -> int:
        """Side of the picture that `apply` likes best for a view of side `size`, in pixels."""
        return math.ceil(size * MARGIN) if POLICIES[self.policy].bends else size

    def apply(self, picture: np.ndarray, size: int, key: bytes) -> np.ndarray:
        """Make this view of one picture.

        Parameters
        ----------
        picture : ndarray of shape (m, m, 3), dtype uint8
            RGB; m = `source_size(size)` is best, any is right.
        size : int
            Side of the view in pixels.
        key : bytes
            The image key: it takes part in the draw.

        Returns
        -------
        ndarray of shape (size, size, 3), dtype uint8
            RGB. Read-only.
        """
        policy = POLICIES[self.policy]
        drawn = _draw(hashlib.sha256(f"{self.policy};{self.seed};{self.number};".encode() + key).digest())
        image = warp(picture, _geometry(policy, drawn), size, policy.fill)
        if policy.brightness or policy.contrast or policy.saturation or policy.hue:
            image = recolour(
                image,
                brightness=policy.brightness * drawn["brightness"],
                contrast=1 + policy.contrast * drawn["contrast"],
                saturation=1 + policy.saturation * drawn["saturation"],
                hue=policy.hue * drawn["hue"],
            )
        return np.asarray(image)


def each_view(views: Views) -> list[View]:
    """The augmented views that are asked for, by number."""
    return [View(views.augment or AUGMENT, k + 1, views.seed) for k in range(views.number)]


def affine(
    zoom: tuple[float, float] = (1.0, 1.0),
    shift: tuple[float, float] = (0.0, 0.0),
    rotation: float = 0.0,
    shear: float = 0.0,
    flip: bool = False,
    centre: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Compose one map from view to picture, in the order of Keras' ``apply_affine_transform``.

    Both squares have side 1 and their middle at (0, 0), x to the right and y down. A point u of the view shows the
    picture at centre + R (shift + S Z F u): flipped, zoomed (above 1: further away), sheared, shifted, rotated.

    Parameters
    ----------
    zoom, shift, centre : (x, y)
    rotation, shear : float
        Degrees, clockwise on the picture.

    Returns
    -------
    ndarray of shape (2, 3)
        Maps (x, y, 1) to (x, y).
    """
    turn, lean = math.radians(rotation), math.radians(shear)
    rotate = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    linear = np.array([[1, -math.sin(lean)], [0, math.cos(lean)]]) * [-zoom[0] if flip else zoom[0], zoom[1]]
    return np.column_stack([rotate @ linear, rotate @ np.array(shift) + centre])


def warp(picture: np.ndarray, matrix: np.ndarray, size: int, fill: str) -> Image.Image:
    """Sample a picture once, bilinearly, where `matrix` sends the pixels of a square of side `size`.

    Parameters
    ----------
    picture : ndarray of shape (m, m, 3), dtype uint8
    matrix : ndarray of shape (2, 3)
        As `affine` makes it.
    size : int
        Side of the result in pixels.
    fill : {"reflect", "nearest"}
        What lies beyond the picture.
    """
    side = len(picture)
    if side == size and np.array_equal(abs(matrix), np.eye(2, 3)):
        return Image.fromarray(picture[:: int(matrix[1, 1]), :: int(matrix[0, 0])])
    linear = matrix[:, :2] * side / size
    origin = (matrix[:, 2] + 0.5) * side - linear @ [
        size / 2,
        size / 2,
    ]  # of the view, in the picture's pixels
    corners = origin[:, None] + linear @ np.array([[0, size, 0, size], [0, 0, size, size]])
    low, high = np.floor(corners.min(axis=1)).astype(int) - 1, np.ceil(corners.max(axis=1)).astype(int) + 1
    if low.min() < 0 or high.max() > side:
        rows = picture.take(_within(np.arange(low[1], high[1]), side, fill), axis=0)
        before, after = np.arange(min(0, low[0]), 0), np.arange(side, max(side, high[0]))
        # Of the columns only the new ones are gathered: that goes pixel by pixel, and takes ten times as long.
        beyond = [rows.take(_within(columns, side, fill), axis=1) for columns in (before, after)]
        picture = np.concatenate([beyond[0], rows, beyond[1]], axis=1)
        origin -= [min(0, low[0]), low[1]]
    (a, b), (d, e) = linear
    data = (a, b, origin[0], d, e, origin[1])
    return Image.fromarray(picture).transform(
        (size, size), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR
    )


def recolour(
    image: Image.Image,
    *,
    brightness: float = 0.0,
    contrast: float = 1.0,
    saturation: float = 1.0,
    hue: float = 0.0,
) -> Image.Image:
    """Change contrast and brightness as tf.image does, then saturation and hue, in one linear step.

    Saturation and hue move colours about the grey axis of equal luma (YIQ). In tf.image they work on HSV, which is
    not linear, costs several times as much, and changes how bright a colour looks.
    """
    angle = 2 * math.pi * hue
    turn = np.array(
        [[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]]
    )
    colours = _RGB @ (turn * [[1], [saturation], [saturation]]) @ _YIQ
    mean = np.asarray(image.reduce(image.size)).ravel()  # to whole levels
    offset = colours @ (255 * brightness + (1 - contrast) * mean)
    return image.convert("RGB", tuple(np.column_stack([contrast * colours, offset]).ravel()))


def _draw(digest: bytes) -> dict[str, float]:
    """Draw every quantity that a policy may use, uniform in [-1, 1), always all and always in this order."""
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
    return dict(zip(_DRAWN, (2 * generator.random(len(_DRAWN)) - 1).tolist(), strict=True))


def _geometry(policy: Policy, drawn: dict[str, float]) -> np.ndarray:
    area = 1 - (1 - policy.crop) * (drawn["area"] + 1) / 2
    ratio = policy.aspect ** drawn["ratio"]
    width, height = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
    return affine(
        zoom=(width * (1 + policy.zoom * drawn["zoom_x"]), height * (1 + policy.zoom * drawn["zoom_y"])),
        shift=(policy.shift * drawn["shift_x"], policy.shift * drawn["shift_y"]),
        rotation=policy.rotation * drawn["rotation"],
        shear=policy.shear * drawn["shear"],
        flip=policy.flip and drawn["flip"] < 0,
        centre=((1 - width) / 2 * drawn["left"], (1 - height) / 2 * drawn["top"]),
    )


def _within(positions: np.ndarray, side: int, fill: str) -> np.ndarray:
    """Name the row (or column) of the picture that is shown at each position, inside it or beyond."""
    if fill == "nearest":
        return positions.clip(0, side - 1)
    folded = positions % (2 * side)
    return np.minimum(folded, 2 * side - 1 - folded)
