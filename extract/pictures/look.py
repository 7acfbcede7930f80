"""One picture file as several networks are to see it: decoded once, resized once for each distinct square."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from extract.pictures.augmentation import View
from extract.pictures.decoding import Opened, loaded, open_header
from extract.pictures.facts import facts
from extract.pictures.square import RejectedImage, square
from extract.pictures.thumbnail import thumbnail
from extract.settings import Decoding


@dataclass(frozen=True)
class Look:
    """How a network is to see a picture, with or without a thumbnail and facts beside it."""

    size: int  # pixels a side
    decoding: Decoding
    view: View | None = None  # None: the plain picture
    thumbnail: bool = False

    @property
    def source(self) -> int:
        """Side of the square that the view is made of, in pixels."""
        return self.view.source_size(self.size) if self.view else self.size


@dataclass(frozen=True)
class Seen:
    """What came of a look."""

    pixels: np.ndarray  # (size, size, 3) uint8 RGB, read-only
    thumbnail: np.ndarray | None = None  # as `extract.pictures.thumbnail` makes it
    facts: np.ndarray | None = None  # as `extract.pictures.facts` finds them


def look_at(data: bytes, key: bytes, looks: Iterable[Look]) -> dict[Look, Seen | RejectedImage]:
    """Decode one picture file as `render` does for each of these looks.

    A large JPEG file is decoded at a size that depends on the network's: again for each such size, because what a
    network sees must not depend on the others. All other files are decoded once.

    Parameters
    ----------
    data : bytes
        The whole file.
    key : bytes
        Its image key.
    looks : iterable of Look

    Returns
    -------
    dict
        What each look gave, or why it gave nothing.
    """
    found: dict[Look, Seen | RejectedImage] = {}
    alike: dict[object, tuple[Opened, list[Look]]] = {}
    for look in dict.fromkeys(looks):
        try:
            opened = open_header(data, look.source, look.decoding)
            alike.setdefault(opened.scale, (opened, []))[1].append(look)
        except RejectedImage as error:
            found[look] = error
    for opened, same in alike.values():
        try:
            found |= _seen(opened, data, key, same)
        except RejectedImage as error:
            found |= dict.fromkeys(same, error)
    return found


def _seen(opened: Opened, data: bytes, key: bytes, looks: list[Look]) -> dict[Look, Seen]:
    """Load a picture once for looks that take it at the same size."""
    with loaded(opened, data) as picture:
        squares = {
            how: square(*picture, *how) for how in {(look.source, *look.decoding.rule) for look in looks}
        }
        whole = [look for look in looks if look.thumbnail]
        small = {each: thumbnail(*picture, each) for each in {look.decoding.resizer for look in whole}}
        known = {
            look: facts(
                *picture, opened.whole, squares[look.source, *look.decoding.rule], look.decoding.resize
            )
            for look in whole
        }
    return {
        look: Seen(
            _viewed(look, squares[look.source, *look.decoding.rule], key),
            small[look.decoding.resizer] if look.thumbnail else None,
            known.get(look),
        )
        for look in looks
    }


def _viewed(look: Look, pixels: np.ndarray, key: bytes) -> np.ndarray:
    return look.view.apply(pixels, look.size, key) if look.view else pixels
