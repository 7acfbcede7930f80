"""Part of a picture -> a picture of another size, by either of two programs: `Decoding.resizer` names them."""

from collections.abc import Callable

from PIL import Image

Box = tuple[float, float, float, float]  # left, upper, right, lower, in pixels

# Of the crate; the first is that with a = -0.5, as Pillow's bicubic.
_FILTERS = {Image.Resampling.BICUBIC: "catmull_rom", Image.Resampling.BILINEAR: "bilinear"}


def _fast(image: Image.Image, size: tuple[int, int], box: Box, how: Image.Resampling) -> Image.Image:
    """By fast_image_resize, in Pillow's memory; it gives other threads way, and the same bytes on every processor."""
    import cykooz_resizer as fir  # not on every platform

    left, upper, right, lower = box
    if size[0] < right - left and size[1] > lower - upper:
        # It goes down the columns first: of a long low picture what is in between would be far larger than either.
        image = _fast(image, (size[0], image.height), (left, 0, right, image.height), how)
        left, right = 0, size[0]
    options = fir.ResizeOptions(resize_alg=fir.ResizeAlg.convolution(fir.FilterType[_FILTERS[how]]))
    options.crop_box = fir.CropBox(left, upper, right - left, lower - upper)
    resized = Image.new(image.mode, size)
    fir.Resizer().resize_pil(image, resized, options)  # a Resizer is not to be shared by threads
    return resized


def _pillow(image: Image.Image, size: tuple[int, int], box: Box, how: Image.Resampling) -> Image.Image:
    return image.resize(size, how, box)


_RESIZERS: dict[str, Callable[[Image.Image, tuple[int, int], Box, Image.Resampling], Image.Image]] = {
    "fast": _fast,
    "pillow": _pillow,
}


def resized(
    image: Image.Image, size: tuple[int, int], box: Box, how: Image.Resampling, resizer: str
) -> Image.Image:
    """Resize the part of a picture that lies in a box; a smaller result averages all of it.

    Parameters
    ----------
    image : Image
        L or RGB.
    size : (int, int)
        Width and height of the result, in pixels.
    box : (float, float, float, float)
        Left, upper, right and lower edge of the part, in pixels.
    how : {BICUBIC, BILINEAR}
        Both as Pillow defines them; https://pillow.readthedocs.io/en/stable/handbook/concepts.html#filters
    resizer : {"fast", "pillow"}
        Who computes. Their results differ in rounding: by 1 of 255 in about every seventh value.
    """
    return _RESIZERS[resizer](image, size, box, how)
