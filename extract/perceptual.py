"""A hash of what a picture looks like: copies of a picture differ in few of its bits."""

import numpy as np
from numpy.typing import NDArray

SIDE = 32  # pixels of the square pictures it is meant for; more add detail that the hash does not look at
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_FREQUENCIES = 8


def phash(pixels: NDArray[np.uint8]) -> np.uint64:
    """Hash the coarse shapes of a picture: which of its 8 x 8 lowest frequencies are above their median.

    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1. Colour
    is not looked at, and of brightness and contrast only where it changes.

    Parameters
    ----------
    pixels : (s, s, 3) uint8
        RGB, 0..255; the whole picture, whatever its aspect ratio was.

    Returns
    -------
    np.uint64
        To be compared with `hamming`. Unrelated pictures differ in about 32 of the 64 bits.
    """
    side = len(pixels)
    # DCT-II, the rows of `basis` are its lowest frequencies; their scale moves no value across the median.
    angle = np.arange(_FREQUENCIES)[:, None] * (2 * np.arange(side) + 1) * np.pi / (2 * side)
    basis = np.cos(angle)
    frequencies = (basis @ (pixels @ _LUMINANCE) @ basis.T).ravel()
    bits = frequencies > np.median(frequencies[1:])  # the first is the mean brightness: no shape
    return np.packbits(bits).view(">u8").astype(np.uint64)[0]


def hamming(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Count the bits in which hashes differ, 0..64."""
    return np.bitwise_count(a ^ b)
