"""A small grey picture of a whole picture, by which near copies are told: what the square cuts off is in it too."""

import numpy as np
from PIL import Image

SIDE = 32  # pixels


def thumbnail(image: Image.Image, content: tuple[float, float], turn: Image.Transpose | None) -> np.ndarray:
    """Make the thumbnail of a picture, given as to `extract.pictures.square.square`.

    Returns
    -------
    ndarray of shape (SIDE, SIDE), dtype uint8
        Luma, 0..255; the whole picture, squeezed to a square, whatever its aspect ratio was.
    """
    # Not BOX, which takes whole pixels only, other ones of the picture upside down. The gap halves the cost.
    how = Image.Resampling.BILINEAR
    small = image.resize((SIDE, SIDE), how, (0, 0, *content), reducing_gap=2.0).convert("L")
    return np.asarray(small if turn is None else small.transpose(turn))
