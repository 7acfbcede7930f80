"""Pictures of data sets by their keys, made anew for the browser: no path, and nothing of the file but its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO

from cache.manifest import Manifest
from extract.pictures.decoding import RejectedImage, loaded, open_header
from extract.pictures.files import opened
from extract.settings import Decoding
from extract.sources.places.place import join

SIDES = {"small": 224, "large": 1024}  # pixels: of the middle square, and of the longest side of the whole
QUALITY = 80
KEPT = 512  # pictures in memory


class Pictures:
    """Where the picture of each key lies; the same file is read again only when it was forgotten.

    Parameters
    ----------
    *manifests : Manifest
        Of data sets; the first one that knows a key tells where its picture lies.
    """

    def __init__(self, *manifests: Manifest) -> None:
        self._places: Mapping[str, tuple[str, str]] = {
            key.tobytes().hex(): (manifest.root, path)
            for manifest in reversed(manifests)
            for key, path in zip(manifest.key, manifest.paths, strict=True)
            if key.any()
        }
        self._made = lru_cache(KEPT)(self._make)

    def jpeg(self, key: str, size: str) -> bytes:
        """Return a picture as JPEG.

        Parameters
        ----------
        key : str
            64 hexadecimal digits.
        size : str
            Of `SIDES`.

        Raises
        ------
        KeyError
            For a key or a size that is not known.
        RejectedImage
            When the file is gone, cannot be read, or has changed since.
        """
        return self._made(*self._places[key], key, SIDES[size], size == "small")

    @staticmethod
    def _make(root: str, path: str, key: str, side: int, cropped: bool) -> bytes:
        with opened(join(root, path)) as contents:
            if contents.key.hex() != key:
                raise RejectedImage("changed since it was extracted")
            return reduced(contents.data, side, cropped)


def reduced(data: bytes, side: int, cropped: bool = False) -> bytes:
    """Make a picture file's bytes a JPEG of at most `side` pixels, or of its middle square; upright, without metadata.

    Raises
    ------
    RejectedImage
        As by `extract.pictures.decoding.decode`.
    """
    from PIL import Image

    with loaded(open_header(data, side, Decoding()), data) as (image, (width, height), turn):
        left, top = (max(0.0, (each - min(width, height)) / 2) * cropped for each in (width, height))
        scale = min(1.0, side / (min(width, height) if cropped else max(width, height)))
        size = max(1, round(scale * (width - 2 * left))), max(1, round(scale * (height - 2 * top)))
        small = image.resize(size, Image.Resampling.BICUBIC, (left, top, width - left, height - top))
        plain = Image.frombytes(small.mode, small.size, small.tobytes())  # without what Pillow carries along
        out = BytesIO()
        (plain if turn is None else plain.transpose(turn)).save(out, "jpeg", quality=QUALITY)
    return out.getvalue()
