"""head.h5: a head as arrays, read with h5py and NumPy. Nothing in it can run, wherever it comes from."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.storage.files import open_regular
from cache.storage.hdf5 import UNREADABLE, pack, read_arrays, unpack, write_arrays
from classify.heads.arrays import KINDS, SCALINGS, STANDARDISED, ArrayHead

FORMAT, FILE = 1, "head.h5"
_TEXTS = ("kind", "scaling", "classes")
_INTEGERS = ("code", "most", "widths", "width")
ADVICE = "Run `fit-head` again; or delete it, and head.joblib answers, if you trust where that comes from."


def write(folder: Path, head: ArrayHead) -> dict[str, str]:
    """Write head.h5 into the folder of a run; returns what run.json says of it."""
    arrays: dict[str, NDArray[Any]] = {f"head_{name}": array for name, array in head.arrays.items()}
    for name, texts in zip(_TEXTS, ([head.kind], [head.scaling], head.classes_.tolist()), strict=True):
        arrays[f"{name}_bytes"], arrays[f"{name}_offset"] = pack(texts)
    arrays |= {"temperature": np.array(head.temperature), "width": np.array(head.n_features_in_)}
    arrays["widths"] = np.array(head.widths, np.int64)
    if head.mean is not None and head.scale is not None:
        arrays |= {"mean": head.mean, "scale": head.scale}
    write_arrays(folder / FILE, FORMAT, {name: np.array(arrays[name], order="C") for name in sorted(arrays)})
    return {"file": FILE, "sha256": _sha256(folder / FILE)}


def read(folder: Path, expected: str) -> ArrayHead:
    """Read head.h5 of a run.

    Parameters
    ----------
    folder : Path
        Of the run.
    expected : str
        SHA-256 (hex) that run.json names.

    Raises
    ------
    FileNotFoundError
    UserError
        When it is another file, damaged, or holds what no head is made of.
    """
    path = folder / FILE
    try:
        found = _sha256(path)
        if found != expected:
            raise ValueError(f"it is not the one that run.json describes ({expected[:12]}) but {found[:12]}")
        arrays, _ = read_arrays(path, FORMAT, ADVICE)
        return _head(arrays)
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise UserError(f"Expected a head as arrays in {path}, but: {error}. {ADVICE}") from error


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return sha256(file.read()).hexdigest()


def _head(arrays: dict[str, NDArray[Any]]) -> ArrayHead:
    """Bring together what a file holds; ValueError or LookupError where it makes no head."""
    for name, array in arrays.items():
        of_integers = name.endswith(("_bytes", "_offset")) or name.removeprefix("head_") in _INTEGERS
        if array.dtype.kind not in ("iu" if of_integers else "f"):
            raise ValueError(f"{name} is of type {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has numbers that are not finite")
    (kind,), (scaling,), classes = (
        unpack(arrays[f"{name}_bytes"], arrays[f"{name}_offset"]) for name in _TEXTS
    )
    width, own = int(arrays["width"]), {name: arrays[name] for name in arrays if name.startswith("head_")}
    head = ArrayHead(
        kind=kind,
        arrays={name.removeprefix("head_"): array for name, array in own.items()},
        classes_=np.array(classes),
        temperature=float(arrays["temperature"]),
        n_features_in_=width,
        scaling=scaling,
        mean=arrays.get("mean"),
        scale=arrays.get("scale"),
        widths=tuple(arrays["widths"].tolist()),
    )
    _check(head)
    return head


def _check(head: ArrayHead) -> None:
    count, width = len(head.classes_), head.n_features_in_
    if head.kind not in KINDS or head.scaling not in SCALINGS:
        raise ValueError(f"a head of kind {head.kind!r} behind the scaling {head.scaling!r} is not known")
    if count < 2 or len(set(head.classes_.tolist())) < count or not head.temperature > 0:
        raise ValueError(f"{count} classes at temperature {head.temperature:g} make no head")
    if head.widths and (min(head.widths) < 1 or sum(head.widths) != width):
        raise ValueError(f"parts of {head.widths} make no row of {width}")
    standard = {"mean": head.mean, "scale": head.scale} if head.scaling in STANDARDISED else {}
    for name, array in standard.items():
        if array is None or array.shape != (width,):
            raise ValueError(f"{name} is not one number for each of {width} columns")
    if head.scale is not None and not (head.scale > 0).all():
        raise ValueError("scale is not above 0")
    shapes = KINDS[head.kind].shapes or _dense(len(head.arrays) // 2, head.kind)
    if shapes.keys() != head.arrays.keys():
        raise ValueError(f"{', '.join(head.arrays)} in the place of {', '.join(shapes)}")
    sizes = {"D": width, "C": count, "P": count * (count - 1) // 2}
    for name, letters in shapes.items():
        shape = head.arrays[name].shape
        if len(shape) != len(letters) or any(
            sizes.setdefault(letter, size) != size for letter, size in zip(letters, shape, strict=True)
        ):
            expected = ", ".join(str(sizes.get(letter, "n")) for letter in letters)
            raise ValueError(f"{name} has the shape {shape} in the place of ({expected})")
    if sizes.get("K", count) not in ((1, 2) if count == 2 else (count,)) or 0 in sizes.values():
        raise ValueError(f"its arrays are of {sizes.get('K')} scores for {count} classes")
    if head.kind == "neighbours":
        code = head.arrays["code"]
        if int(head.arrays["most"]) < 1 or code.min() < 0 or code.max() + 1 != count:
            raise ValueError("its rows are not of its classes")


def _dense(count: int, kind: str) -> dict[str, str]:
    """Shapes of the arrays of a dense network of so many layers; widths inside are letters that nothing else has."""
    ends = ["D", *(chr(0x100 + at) for at in range(count - 1)), "K" if kind == "perceptron" else "C"]
    shapes = dict[str, str]()
    for at in range(1, count + 1):
        shapes |= {f"kernel_{at}": f"{ends[at - 1]}{ends[at]}", f"bias_{at}": ends[at]}
    return shapes
