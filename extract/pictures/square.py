"""A picture that Pillow has opened -> square RGB pixels, whether it came from a file or was made in memory."""

import logging
import warnings

import numpy as np
from PIL import Image, TiffImagePlugin

from extract.pictures.resizing import Box, resized

# `Decoding.max_pixels` is the one limit on size: Pillow's own would refuse what a raised limit allows.
Image.MAX_IMAGE_PIXELS = None
# What Pillow grumbles about is either harmless or ends as a reject with a reason; set here, once, because
# warning filters belong to the process and must not be changed while threads decode.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class RejectedImage(Exception):
    """A picture that does not become pixels.

    Parameters
    ----------
    reason : str
        One line for people, the same for the same bytes.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check_size(image: Image.Image, max_pixels: int) -> None:
    """Refuse a picture of more pixels than this, before they are decoded."""
    width, height = image.size
    if width * height > max_pixels:
        raise RejectedImage(
            f"too large: {width} x {height} = {width * height} pixels, the limit is {max_pixels}"
        )
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # A tile is decompressed whole, however small the picture is that it belongs to.
        wide, high = (image.tag_v2.get(tag, 0) for tag in (322, 323))
        if wide * high > max_pixels:
            raise RejectedImage(
                f"too large: tiles of {wide} x {high} = {wide * high} pixels, the limit is {max_pixels}"
            )


def fit(width: float, height: float, size: int, resize: str) -> tuple[Box, tuple[int, int]]:
    """Which box of a picture is resized, and to what (width, height) at most (size, size)."""
    if resize == "crop":
        side = min(width, height)
        box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
        return box, (size, size)
    if resize == "squash":
        return (0, 0, width, height), (size, size)
    longest = max(width, height)
    inner = max(1, round(width * size / longest)), max(1, round(height * size / longest))
    return (0, 0, width, height), inner


def upright(image: Image.Image) -> Image.Transpose | None:
    """Tell by its EXIF which turn puts a loaded picture upright."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF is parsed by the same kind of code as pictures; damaged EXIF is no EXIF
        return None


def eight_bits(image: Image.Image) -> Image.Image:
    """Convert any mode to L or RGB, on white where the picture is transparent."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _scaled(image)
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _scaled(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    low, high, most = values.min(), values.max(), 1 if image.mode == "F" else 65535
    if not (low >= 0 and high <= most):  # also NaN
        raise RejectedImage(f"unknown brightness scale: values {low} to {high}, expected 0 to {most}")
    if image.mode == "F":
        grey = np.rint(values * np.float32(255)).astype(np.uint8)
    else:
        grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey)


def square(
    image: Image.Image,
    content: tuple[float, float],
    turn: Image.Transpose | None,
    size: int,
    resize: str,
    resizer: str,
) -> np.ndarray:
    """Resize and turn a picture.

    Parameters
    ----------
    image : Image
        L or RGB, not turned yet.
    content : (float, float)
        Width and height of what counts of it, from the top left; other than its size for a drafted JPEG.
    turn : Transpose or None
        As `upright` gave it.
    size : int
        Side of the result in pixels.
    resize : {"crop", "squash", "pad"}
    resizer : {"fast", "pillow"}

    Returns
    -------
    pixels : ndarray of shape (size, size, 3), dtype uint8
        RGB, 0..255. Read-only.
    """
    box, target = fit(*content, size, resize)
    if image.size != target or box != (0, 0, *target):
        image = resized(image, target, box, Image.Resampling.BICUBIC, resizer)
    if image.mode != "RGB":
        image = image.convert("RGB")
    # Turned last, when it is small: the box is centred, so turning and resizing commute.
    if turn is not None:
        image = image.transpose(turn)
    if image.size != (size, size):
        padded = Image.new("RGB", (size, size))
        padded.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
        image = padded
    return np.asarray(image)


def reason(error: Exception) -> str:
    """Say in one line why Pillow could not decode a picture."""
    if isinstance(error, MemoryError):
        return "out of memory while decoding"
    text = " ".join(str(error).split())
    if "truncated" in text.lower():
        return f"truncated: {text}"
    return f"damaged: {type(error).__name__}: {text}"
