"""A small grey picture of a whole picture, by which near copies are told: what the square cuts off is in it too."""

import numpy as np
from PIL import Image

from extract.pictures.resizing import resized

SIDE = 32  # pixels
_LONGEST = (
    65_535  # pixels of a JPEG; without a gap the weights of a line would take 32 bytes for each pixel of it
)


def thumbnail(
    image: Image.Image, content: tuple[float, float], turn: Image.Transpose | None, resizer: str
) -> np.ndarray:
    """Make the thumbnail of a picture, given as to `extract.pictures.square.square`.

    Returns
    -------
    ndarray of shape (SIDE, SIDE), dtype uint8
        Luma, 0..255; the whole picture, squeezed to a square, whatever its aspect ratio was.
    """
    # Not BOX, which takes whole pixels only, other ones of the picture upside down.
    size, how, box = (SIDE, SIDE), Image.Resampling.BILINEAR, (0, 0, *content)
    if resizer == "pillow" or max(image.size) > _LONGEST:
        small = image.resize(size, how, box, reducing_gap=2.0)  # the gap halves the cost
    else:
        small = resized(image, size, box, how, resizer)
    grey = small.convert("L")
    return np.asarray(grey if turn is None else grey.transpose(turn))
