"""Pictures in memory - Pillow's, or arrays - to keys and pixels, beside the files of one manifest."""

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from cache.manifest import Manifest
from extract.embedding.reading import Read, Reader, Taker, claim
from extract.pictures.facts import facts
from extract.pictures.square import RejectedImage, check_size, eight_bits, reason, square, upright

Picture = Image.Image | np.ndarray

# Pillow decodes a picture when its pixels are first asked for, which two threads must not do to one picture.
_LOADING = threading.Lock()


class PictureReader:
    """Reads the rows of a manifest that are pictures in memory, and hands all others to the reader of files.

    Parameters
    ----------
    pictures : mapping of int to Picture
        By row of the manifest.
    manifest : Manifest
        The rows of pictures get their keys in place; their paths are names for people.
    takers : sequence of Taker
        In the order in which a `Read` numbers them; they see plain pictures.
    files : Reader
    """

    def __init__(
        self,
        pictures: Mapping[int, Picture],
        manifest: Manifest,
        takers: Sequence[Taker],
        files: Reader,
    ) -> None:
        self._pictures, self._manifest, self._takers, self._files = pictures, manifest, takers, files

    def __call__(self, indices: Sequence[int]) -> Iterator[Read]:
        """Give every row its key, and its pixels where they are to be embedded."""
        yield from self._files([index for index in indices if index not in self._pictures])
        for index in indices:
            if index in self._pictures:
                yield self._read(index)

    def _read(self, index: int) -> Read:
        read, path = Read(index), self._manifest.paths[index]
        limit = max(taker.look.decoding.max_pixels for taker in self._takers)
        try:
            image, turn = flat(self._pictures[index], limit)
        except RejectedImage as error:
            rejects = (taker.reject(read.key, path, error.reason) for taker in self._takers)
            read.rejects = dict(enumerate(rejects))
            return read
        read.key = picture_key(image, turn)
        self._manifest.key[index] = bytearray(read.key)
        (numbers,) = claim(self._takers, [read.key])
        squares: dict[tuple[int, str, str], np.ndarray] = {}
        for number in numbers:
            taker = self._takers[number]
            how = taker.look.size, *taker.look.decoding.rule
            try:
                check_size(image, taker.look.decoding.max_pixels)
            except RejectedImage as error:
                read.rejects[number] = taker.reject(read.key, path, error.reason)
                continue
            if how not in squares:
                squares[how] = square(image, image.size, turn, *how)
            read.pixels[number] = squares[how]
            if taker.facts is not None:
                taker.facts.add(
                    read.key,
                    facts(image, image.size, turn, image.size, squares[how], taker.look.decoding.resize),
                )
        return read


def flat(picture: Picture, max_pixels: int) -> tuple[Image.Image, Image.Transpose | None]:
    """Bring a picture into RGB by the rules for files, and tell how it is to be turned.

    Of an animation the frame is taken that Pillow stands at.

    Parameters
    ----------
    picture : Image or ndarray
        An array is uint8: grey (h, w) or (h, w, 1), RGB (h, w, 3), or RGB and opacity (h, w, 4).
    max_pixels : int
        Larger ones are rejected.

    Raises
    ------
    RejectedImage
        If it is too large, or is a file that Pillow opened and cannot decode.
    """
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture[:, :, 0] if picture.shape[2:] == (1,) else picture)
    check_size(picture, max_pixels)
    try:
        with _LOADING:
            picture.load()
            turn = upright(picture)
        return eight_bits(picture).convert("RGB"), turn
    except RejectedImage:
        raise
    except Exception as error:  # Pillow raises whatever hostile bytes lead it to
        raise RejectedImage(reason(error)) from error


def picture_key(image: Image.Image, turn: Image.Transpose | None) -> bytes:
    """Hash a picture as `flat` gives it: SHA-256, 32 bytes.

    What is hashed is one line of ASCII, ``coldframe picture 1, WIDTHxHEIGHT, TURN`` and a line feed, then the
    pixels: RGB, 8 bits each, row by row from the top left. TURN is ``upright`` or what is left to do, by
    Pillow's name, such as ROTATE_270.
    """
    how = "upright" if turn is None else turn.name
    digest = hashlib.sha256(f"coldframe picture 1, {image.width}x{image.height}, {how}\n".encode())
    digest.update(image.tobytes())
    return digest.digest()
