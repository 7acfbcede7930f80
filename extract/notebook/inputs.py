"""Pictures as programs give them - paths, Pillow images, uint8 arrays - checked, and listed one by one."""

import os
from typing import Any

import numpy as np
from PIL import Image

from cache.errors import UserError
from extract.embedding.picture_reader import Picture


def listed(X: Any) -> list[str | Picture]:
    """List pictures, paths as str, and refuse what is none.

    Parameters
    ----------
    X : see `ImageEmbedder.transform`

    Raises
    ------
    UserError
        If `X` is no collection of pictures, or is empty.
    """
    wanted = "Expected a list, array or Series of paths, Pillow images or uint8 arrays"
    if isinstance(X, np.ndarray) and X.dtype != object and X.dtype.kind not in "UT":
        if X.ndim == 3 and X.shape[2] in (1, 3, 4):
            raise UserError(
                f"{wanted}, received {X.shape}: one picture. Pass it as x[None], shape (1, h, w, 3)."
            )
        if X.ndim not in (3, 4):
            raise UserError(f"{wanted} - in one array (n, h, w, 3) or (n, h, w) -, received shape {X.shape}.")
    elif isinstance(X, str | bytes | os.PathLike | Image.Image):
        raise UserError(f"{wanted}, received one {type(X).__name__}. Put it in a list: [x].")
    elif not hasattr(X, "__len__") or isinstance(X, dict | set | frozenset) or getattr(X, "ndim", 1) != 1:
        what = f"{type(X).__name__} of shape {X.shape}" if hasattr(X, "shape") else type(X).__name__
        raise UserError(
            f"{wanted}, received a {what}. Pass list(x) for something to go through once, or the column of a table "
            "that holds the paths."
        )
    pictures = [_checked(picture, number) for number, picture in enumerate(X)]
    if not pictures:
        raise UserError(f"{wanted}, received none.")
    return pictures


def _checked(picture: Any, number: int) -> str | Picture:
    if isinstance(picture, str | os.PathLike):
        return os.fsdecode(picture)
    if isinstance(picture, np.ndarray):
        _check_array(picture, name(number))
    elif not isinstance(picture, Image.Image):
        raise UserError(
            f"Expected paths, Pillow images or uint8 arrays, received a {type(picture).__name__} for {name(number)}: "
            f"{repr(picture)[:60]}."
        )
    return picture


def name(number: int) -> str:
    """Name a picture in memory for messages."""
    return f"picture {number} (counted from 0)"


def _check_array(array: np.ndarray, what: str) -> None:
    if array.dtype != np.uint8:
        advice = (
            "Brightness in 0..1 becomes so by (255 * x).round().astype('uint8')."
            if array.dtype.kind == "f"
            else "Convert it with .astype('uint8') if its values lie in 0..255."
        )
        raise UserError(f"Expected pictures as uint8 in 0..255, received {array.dtype} for {what}. {advice}")
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)) or 0 in array.shape:
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        raise UserError(
            "Expected a picture of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), received "
            f"{array.shape} for {what}." + (" Put the colours last: np.moveaxis(x, 0, -1)." if first else "")
        )
