"""JPEG files by libjpeg-turbo itself: the pixels that Pillow gives, sooner."""

import numpy as np
from PIL import Image, features

try:
    import simplejpeg
except ImportError:  # no wheel for this platform
    simplejpeg = None
# Without libjpeg-turbo Pillow has another library's pixels.
_ALIKE = simplejpeg is not None and features.check("libjpeg_turbo")
_MOST = 2**22  # pixels; the copy that is made of them is not counted in `extract.pictures.memory`
_COLOURS = {"L": "GRAY", "RGB": "RGBX"}  # four bytes a pixel, as Pillow has it in memory
_RAW = {"L": "L", "RGB": "RGBX"}


def pixels(image: Image.Image, data: bytes) -> Image.Image | None:
    """Decode a JPEG file that Pillow has opened, at the size at which Pillow would.

    Parameters
    ----------
    image : Image
        Opened, not loaded; drafted or not.
    data : bytes
        The whole file.

    Returns
    -------
    Image or None
        L or RGB, the same bytes that Pillow gives. None where Pillow is to decode: what is no plain JPEG
        file of one or three components, is large, or is such that libjpeg says anything about it.
    """
    colours = _COLOURS.get(image.mode)
    if not _ALIKE or image.format != "JPEG" or colours is None or image.width * image.height > _MOST:
        return None
    try:
        found: np.ndarray = simplejpeg.decode_jpeg(
            data, colours, min_height=image.height, min_width=image.width
        )
    except ValueError:
        return None
    if found.shape[:2] != (image.height, image.width):
        return None
    return Image.frombytes(image.mode, image.size, found, "raw", _RAW[image.mode])
