"""The bytes of a picture file -> square RGB pixels. The one decoder for training, prediction and serving."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import PIL
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
    features,
)

from cache.errors import UserError
from extract.pictures.augmentation import View
from extract.pictures.facts import facts
from extract.pictures.formats import jpeg, png
from extract.pictures.memory import MIB, PIXELS, cost
from extract.pictures.square import RejectedImage, check_size, eight_bits, fit, reason, square, upright
from extract.pictures.thumbnail import thumbnail
from extract.settings import Decoding

# Image.open asks only these; naming one that is not imported would make it import all of Pillow's forty.
# JPEG includes MPO, the several pictures in one file that phones and stereo cameras write.
_PLUGINS = [JpegImagePlugin.JpegImageFile, PngImagePlugin.PngImageFile, BmpImagePlugin.BmpImageFile]
_PLUGINS += [GifImagePlugin.GifImageFile, TiffImagePlugin.TiffImageFile, PpmImagePlugin.PpmImageFile]
if features.check("webp"):
    _PLUGINS.append(WebPImagePlugin.WebPImageFile)
if features.check("avif"):
    from PIL import AvifImagePlugin

    _PLUGINS.append(AvifImagePlugin.AvifImageFile)
with contextlib.suppress(
    ImportError
):  # after AVIF, whose files may begin alike: what that refuses is tried here
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)  # of a thumbnail the numbers would be others
    _PLUGINS.append(pillow_heif.as_plugin.HeifImageFile)
FORMATS = tuple(str(plugin.format) for plugin in _PLUGINS)

HEADER = 16 * MIB  # in which a picture's header ends, whatever comments stand before it
_ONE_PICTURE = ("JPEG", "PNG", "BMP", "PPM")
_ANYWAY = 64 * MIB  # of a file that may have any number of pixels: videos are appended to photographs
_BYTES_A_PIXEL = 16

_ACCEPT = [Image.OPEN[name][1] for name in FORMATS]

# Brands of pictures as phones write them; HEIF files of another coding, such as AVIF, may begin with mif1, too.
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}

# What fixes the numbers, for `Space.decoder`, by `Decoding.resizer`; the resize rule is a field of its own there.
_POLICIES = "pillow;exif;alpha-white;cmyk-rgb;16bit-scale;first-frame;draft2x"
DECODERS = {"fast": f"{_POLICIES};bicubic by fast_image_resize", "pillow": f"{_POLICIES};bicubic"}


def resizer_of(decoder: str) -> str:
    """Name the resizer of a decoder; UserError if this version has no such decoder."""
    for resizer, known in DECODERS.items():
        if known == decoder:
            return resizer
    raise UserError(
        f"Expected pictures decoded by {' or '.join(map(repr, DECODERS.values()))}, received {decoder!r}: another "
        "version of coldframe wrote that. Run extract again to embed the pictures in a space of this version."
    )


def decode(data: bytes, size: int, decoding: Decoding) -> np.ndarray:
    """Decode one picture file.

    The format is found in the bytes, never in the name. EXIF orientation is applied (EXIF that cannot be
    parsed counts as absent, as in every viewer), transparency is matted on white before resizing, CMYK and
    palettes become RGB, colour profiles are ignored, of an animation the first frame is taken. Grey of 16
    bits is divided by 257, and so are 32-bit integers if all lie within 0..65535; floats must lie within
    0..1 and are multiplied by 255; anything else of such depth has no scale one could know and is rejected.

    Parameters
    ----------
    data : bytes
        The whole file.
    size : int
        Side of the result in pixels.
    decoding : Decoding
        Resize rule, resizer and limits.

    Returns
    -------
    pixels : ndarray of shape (size, size, 3), dtype uint8
        RGB, 0..255. Read-only.

    Raises
    ------
    RejectedImage
        If the bytes are no picture, are damaged, or exceed `decoding.max_pixels`.
    """
    with loaded(open_header(data, size, decoding), data) as picture:
        return square(*picture, size, *decoding.rule)


def decode_whole(data: bytes, size: int, decoding: Decoding) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode one picture file once: its pixels as `decode` gives them, its thumbnail, and its facts."""
    opened = open_header(data, size, decoding)
    with loaded(opened, data) as picture:
        pixels = square(*picture, size, *decoding.rule)
        known = facts(*picture, opened.whole, pixels, decoding.resize)
        return pixels, thumbnail(*picture, decoding.resizer), known


@dataclass(frozen=True)
class Opened:
    """A picture file whose header was read."""

    image: Image.Image  # not loaded
    full: tuple[int, int]  # its width and height
    content: tuple[float, float]  # what counts of it once it is loaded; `full`, unless it is decoded smaller

    @property
    def scale(self) -> object:
        """Equal for two openings of one file that load the same pixels."""
        return self.image.size, self.content

    @property
    def whole(self) -> tuple[int, int]:
        """Its width and height once it is loaded, had it not been decoded smaller; a TIFF is turned by that."""
        return self.image.size if self.content == self.full else self.full


def open_header(data: bytes, size: int, decoding: Decoding) -> Opened:
    """Read the header of a picture file, and settle at which size it is decoded for a square of `size` pixels."""
    check_start(data)
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        check_size(image, decoding.max_pixels)
        full = image.size
        # libjpeg can decode at 1/2, 1/4 or 1/8 at a fraction of the cost; twice the target is enough.
        _, target = fit(*full, size, decoding.resize)
        drafted = image.draft(None, (2 * target[0], 2 * target[1]))
        # A drafted picture is rounded up to whole pixels; its content ends at width / scale.
        return Opened(image, full, drafted[1][2:] if drafted else full)
    except RejectedImage:
        raise
    except Exception as error:  # Pillow's parsers raise whatever hostile bytes lead them to
        raise RejectedImage(_reason(error, data)) from error


@contextlib.contextmanager
def loaded(
    opened: Opened, data: bytes
) -> Iterator[tuple[Image.Image, tuple[float, float], Image.Transpose | None]]:
    """Load a picture: L or RGB, what counts of it, and the turn left to do."""
    image = opened.image
    try:
        with PIXELS.hold(cost(image, opened.full)):
            flat = jpeg.pixels(image, data)
            if flat is None:
                image.load()
                if image.format == "PNG":
                    png.check_rows(image, data)
                flat = eight_bits(image)
            turn = upright(image)  # after load: EXIF behind the pixels of a PNG; loading turns a TIFF
            content = image.size if opened.content == opened.full else opened.content
            yield flat, content, turn
    except RejectedImage:
        raise
    except Exception as error:  # as above
        raise RejectedImage(_reason(error, data)) from error


def may_be_picture(start: bytes) -> bool:
    """Tell by the first 16 bytes of a file or more whether it can be a picture of any of the formats."""
    return any(accept is None or accept(start[:16]) for accept in _ACCEPT)


def check_start(start: bytes) -> None:
    """Refuse a file by its first 16 bytes or more, with the reason that `decode` would give."""
    if not start:
        raise RejectedImage("empty file")
    if not may_be_picture(start):
        raise RejectedImage(_no_picture(start))


def check_large(start: bytes, size: int) -> None:
    """Refuse a large file by its header, before it is read: there is none, or it is of far fewer pixels.

    Parameters
    ----------
    start : bytes
        The first `HEADER` bytes of the file.
    size : int
        Bytes of the whole file.

    Raises
    ------
    RejectedImage
        Formats that may hold many pictures, or say at the end how large they are, pass unseen.
    """
    for name in _ONE_PICTURE:
        accept = Image.OPEN[name][1]
        if accept is None or not accept(start[:16]):
            continue
        try:
            width, height = Image.open(io.BytesIO(start), formats=[name]).size
        except Exception as error:  # as in `decode`
            raise RejectedImage(_reason(error, start)) from error
        if size > max(_ANYWAY, _BYTES_A_PIXEL * width * height):
            raise RejectedImage(
                f"has {size:,} bytes for {width:,} x {height:,} pixels: no picture is stored so"
            )


def _no_picture(start: bytes) -> str:
    if "HEIF" not in FORMATS and start[4:8] == b"ftyp" and _HEIC.intersection(_brands(start)):
        return "HEIC: pip install 'coldframe[heic]'"
    known = ", ".join(FORMATS)
    return f"no picture, or its header is damaged: starts with {start[:8]!r}, expected one of {known}"


def _brands(start: bytes) -> list[bytes]:
    """What a file says it may be read as: its main brand, and those that its first 64 bytes have room for."""
    end = min(int.from_bytes(start[:4], "big"), len(start), 64)
    return [start[8:12], *(start[at : at + 4] for at in range(16, end - 3, 4))]


def _reason(error: Exception, data: bytes) -> str:
    if isinstance(error, UnidentifiedImageError):
        return _no_picture(data)
    return reason(error)


def render(data: bytes, key: bytes, size: int, decoding: Decoding, view: View | None) -> np.ndarray:
    """Decode one picture file as the network is to see it: plain, or as one of its views.

    Parameters
    ----------
    data, size, decoding
        As for `decode`.
    key : bytes
        The image key of `data`.
    view : View or None
        None: the plain picture.

    Returns
    -------
    pixels : ndarray of shape (size, size, 3), dtype uint8
        RGB, 0..255. Read-only.

    Raises
    ------
    RejectedImage
        As `decode` does.
    """
    if view is None:
        return decode(data, size, decoding)
    return view.apply(decode(data, view.source_size(size), decoding), size, key)


def limits(decoding: Decoding) -> str:
    """What decides whether a file is rejected, for `Reject.decoder`: another value, another try."""
    return f"pillow {PIL.__version__};max_pixels {decoding.max_pixels};{'+'.join(FORMATS)}"
