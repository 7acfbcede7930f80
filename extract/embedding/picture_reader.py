"""Pictures in memory - Pillow's, or arrays - to keys and pixels, beside the files of one manifest."""

import hashlib
import threading
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from cache.manifest import Manifest
from cache.storage.rejects import Reject
from extract.embedding.runner import Claims, Read, Reader
from extract.pictures.decoding import limits
from extract.pictures.square import RejectedImage, check_size, eight_bits, reason, square, upright
from extract.settings import Decoding

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
    size : int
        Side of the decoded pictures in pixels.
    decoding : Decoding
    claims : Claims
        Says which keys are to be computed.
    files : Reader
    """

    def __init__(
        self,
        pictures: Mapping[int, Picture],
        manifest: Manifest,
        size: int,
        decoding: Decoding,
        claims: Claims,
        files: Reader,
    ) -> None:
        self._pictures, self._manifest, self._files = pictures, manifest, files
        self._size, self._decoding, self._claims = size, decoding, claims

    def __call__(self, indices: Sequence[int]) -> list[Read]:
        """Give every row its key, and its pixels where they are to be embedded."""
        reads = self._files(files) if (files := [i for i in indices if i not in self._pictures]) else []
        opened = []
        for index in indices:
            if index in self._pictures:
                read = Read(index)
                reads.append(read)
                try:
                    image, turn = flat(self._pictures[index], self._decoding.max_pixels)
                except RejectedImage as error:
                    path = self._manifest.paths[index]
                    read.reject = Reject(None, path, error.reason, limits(self._decoding))
                    continue
                key = read.key = picture_key(image, turn)
                self._manifest.key[index] = bytearray(key)
                opened.append((read, key, image, turn))
        mine = self._claims.take([key for _, key, _, _ in opened])
        for (read, _, image, turn), wanted in zip(opened, mine, strict=True):
            if wanted:
                read.pixels = square(image, image.size, turn, self._size, self._decoding.resize)
        return reads


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
