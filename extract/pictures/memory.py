"""How many bytes of pictures are in memory at once, over all threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

MIB = 2**20
# Pillow's memory comes in blocks of 16 MiB, some of which malloc keeps when they are freed; from 32 MiB on, none.
Image.core.set_block_size(64 * MIB)
# Kept for the next picture: memory fresh from the system costs a small picture more than its resize does. Never more
# than was in use at once, which `PIXELS` bounds.
Image.core.set_blocks_max(32)


class Room:
    """A number of bytes that threads share.

    Whoever wants more than is free waits. What is larger than the whole room gets all of it, alone.

    Parameters
    ----------
    size : int
        Bytes.
    """

    def __init__(self, size: int) -> None:
        self.size, self.taken = size, 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, wanted: int) -> Iterator[None]:
        """Have so many bytes to oneself. A thread that holds some must not ask the same room for more."""
        share = min(wanted, self.size)
        with self._changed:
            self._changed.wait_for(lambda: self.taken + share <= self.size)
            self.taken += share
        try:
            yield
        finally:
            with self._changed:
                self.taken -= share
                self._changed.notify_all()


# Whoever holds both asked for FILES first, so that nobody waits in a circle.
FILES = Room(256 * MIB)  # held while a large file is read and decoded
PIXELS = Room(512 * MIB)  # held while a picture is decoded

# Bytes a pixel, as measured with 16 megapixels: the picture in Pillow's memory, else 4; its conversion to L or RGB,
# else 8; what the decoder of a format needs beside it.
_OWN = {"1": 1, "L": 1, "P": 1, "I;16": 2}
_CONVERSION = {"L": 0, "RGB": 0, "F": 12, "I": 12, "I;16": 10}
_BESIDE = {"WEBP": 12, "AVIF": 6, "HEIF": 6}


def cost(image: Image.Image, full: tuple[int, int]) -> int:
    """Bytes that decoding a picture takes, by its header.

    Parameters
    ----------
    image : Image
        Opened, not loaded.
    full : (int, int)
        Its width and height before it was drafted.
    """
    each = _OWN.get(image.mode, 4) + _CONVERSION.get(image.mode, 8) + _BESIDE.get(str(image.format), 0)
    coefficients = 6 * full[0] * full[1] if "progressive" in image.info else 0  # drafted or not
    return image.width * image.height * each + coefficients
