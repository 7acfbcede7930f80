"""What is plain to see of a picture, in a few numbers: how large, dark, bright, plain or blurred it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from extract.pictures.square import fit

_SIDE = 96  # pixels, of a sample of the whole picture
_LINES = 28  # rows, and columns, of the square that are looked at
_ROUNDING = 1.0  # mean square of the second differences that whole levels and JPEG make of a smooth slope
_PIXELS = _SIDE**2
_COUNTS = np.arange(_PIXELS + 1)
_LEVELS = np.arange(256) / 255
_MOMENTS = np.stack([_LEVELS, _LEVELS**2], axis=1) / _PIXELS
_SURPRISE = _COUNTS * np.log2(np.maximum(_COUNTS, 1)) / _PIXELS  # looked up: a logarithm takes longer
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
    sharpness: NDArray[np.float32]  # second over first differences in size, in the network's square


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
    levels = np.array(sample.histogram())
    mean, square = (levels @ _MOMENTS).tolist()
    darkest, brightest = levels.cumsum().searchsorted((0.05 * _PIXELS, 0.99 * _PIXELS)).tolist()
    sideways = turn in _SIDEWAYS
    inner = fit(*content, len(pixels), resize)[1]
    width, height = full[::-1] if sideways else full
    contrast, entropy = max(0, square - mean**2) ** 0.5, np.log2(_PIXELS) - _SURPRISE[levels].sum()
    sharpness = _sharpness(pixels, *(inner[::-1] if sideways else inner))
    found = width, height, mean, contrast, darkest / 255, brightest / 255, entropy, sharpness
    return np.array(found, np.float32)


def _sharpness(pixels: np.ndarray, width: int, height: int) -> float:
    """Compare second with first differences of green, along some rows and columns of what is no border."""
    left, top = (len(pixels) - width) // 2, (len(pixels) - height) // 2
    green = pixels[top : top + height, left : left + width, 1]
    across = green[:: max(1, height // _LINES)].astype(np.float32)
    down = green[:, :: max(1, width // _LINES)].astype(np.float32)
    slopes = across[:, 1:] - across[:, :-1], down[1:] - down[:-1]
    bends = slopes[0][:, 1:] - slopes[0][:, :-1], slopes[1][1:] - slopes[1][:-1]
    first, second = _mean_square(slopes), _mean_square(bends) - _ROUNDING
    return (second / first) ** 0.5 if second > 0 else 0.0


def _mean_square(parts: tuple[np.ndarray, ...]) -> float:
    return sum(float(np.vdot(part, part)) for part in parts) / max(1, sum(part.size for part in parts))
