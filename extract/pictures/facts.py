"""What is plain to see of a picture, in a few numbers: how large, dark, bright, plain or blurred it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from extract.pictures.square import fit

_SIDE = 96  # pixels, of a sample of the whole picture
_LINES = 28  # rows, and columns, of the square that are looked at
_LEVELS = np.arange(256) / 255
_SIDEWAYS = (
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
)


@dataclass(frozen=True, eq=False)
class Facts:
    """Those of n pictures, each (n,) float32."""

    width: NDArray[np.float32]  # of the file, turned upright; pixels
    height: NDArray[np.float32]
    brightness: NDArray[np.float32]  # mean luma; 0 black, 1 white
    contrast: NDArray[np.float32]  # standard deviation of luma, 0 to 0.5
    darkest: NDArray[np.float32]  # 5th percentile of luma
    brightest: NDArray[np.float32]  # 99th percentile of luma
    entropy: NDArray[np.float32]  # of the luma's 256 levels; bits, 0 to 8
    sharpness: NDArray[
        np.float32
    ]  # size of second differences over that of first ones, in the network's square


def facts(
    image: Image.Image,
    content: tuple[float, float],
    turn: Image.Transpose | None,
    full: tuple[int, int],
    pixels: np.ndarray,
    resize: str,
) -> np.ndarray:
    """Measure a picture, given as to `extract.pictures.square.square`.

    Luma (ITU-R 601) is that of 96 x 96 pixels spread over the whole picture. Entropy is Shannon's.

    Parameters
    ----------
    image, content, turn
    full : (int, int)
        Width and height of the file, not turned.
    pixels : (s, s, 3) uint8
        The square made of it.
    resize : {"crop", "squash", "pad"}

    Returns
    -------
    (8,) float32
        In the order of the fields of `Facts`.
    """
    sample = image.resize((_SIDE, _SIDE), Image.Resampling.NEAREST, (0, 0, *content)).convert("L")
    share = np.array(sample.histogram()) / _SIDE**2
    mean, some = float(share @ _LEVELS), share[share > 0]
    darkest, brightest = np.searchsorted(np.cumsum(share), (0.05, 0.99 - 1e-9)) / 255
    sideways = turn in _SIDEWAYS
    inner = fit(*content, len(pixels), resize)[1]
    width, height = full[::-1] if sideways else full
    contrast, entropy = np.sqrt(share @ (_LEVELS - mean) ** 2), -(some @ np.log2(some))
    sharpness = _sharpness(pixels, *(inner[::-1] if sideways else inner))
    found = width, height, mean, contrast, darkest, brightest, entropy, sharpness
    return np.array(found, np.float32)


def _sharpness(pixels: np.ndarray, width: int, height: int) -> float:
    """Compare second with first differences of green, along some rows and columns of what is no border."""
    left, top = (len(pixels) - width) // 2, (len(pixels) - height) // 2
    green = pixels[top : top + height, left : left + width, 1]
    across, down = green[:: max(1, height // _LINES)], green[:, :: max(1, width // _LINES)]
    first = second = 0.0
    for axis, lines in enumerate((down, across)):
        slope = np.diff(lines.astype(np.float32), axis=axis)
        bend = np.diff(slope, axis=axis)
        first, second = first + float(np.vdot(slope, slope)), second + float(np.vdot(bend, bend))
    return (second / first) ** 0.5 if first else 0.0
