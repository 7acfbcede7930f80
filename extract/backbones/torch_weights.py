"""Read tensors from a legacy PyTorch file without PyTorch and without running what the file says.

The format (``torch.save`` before version 1.6, `torch/serialization.py`, ``_legacy_save``) is five pickles in a
row - magic number, protocol, system facts, the object, the storage keys - and then, for each key, the number
of elements as int64 and the raw elements.
"""

import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cache.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        data = storages[self.storage.key]
        # Checked here because as_strided itself reads wherever it is told to.
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if self.offset < 0 or min(self.strides, default=0) < 0 or (0 not in self.shape and last >= len(data)):
            raise ValueError(f"a tensor of shape {self.shape} reaches outside its storage")
        steps = [s * data.itemsize for s in self.strides]
        view = np.lib.stride_tricks.as_strided(data[self.offset :], self.shape, steps, writeable=False)
        return np.array(view, order="C")


def _rebuild_tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


class _TensorUnpickler(pickle.Unpickler):
    """Knows tensors and ordered dictionaries; every other name in the file is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not a tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, _size, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"unknown reference {kind!r}")
        return _Storage(key, dtype)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read every tensor of a legacy (non-zip) PyTorch state dictionary.

    Parameters
    ----------
    path : Path
        A file written by ``torch.save(model.state_dict(), path)`` before PyTorch 1.6.

    Returns
    -------
    dict of str to ndarray
        C-contiguous arrays by tensor name, in the file's order.

    Raises
    ------
    UserError
        If the file is not in that format, is damaged, or asks for anything but tensors.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"Expected a legacy PyTorch file of tensors, received {path}: {error}. "
            "Reinstall the package it came from, or pass another file with --weights."
        ) from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    if _TensorUnpickler(file).load() != MAGIC:
        raise ValueError("the magic number is not PyTorch's")
    protocol, system = _TensorUnpickler(file).load(), _TensorUnpickler(file).load()
    if protocol != 1001 or not system["little_endian"]:
        raise ValueError(f"protocol {protocol}, little endian {system['little_endian']}")
    unpickler = _TensorUnpickler(file)
    tensors: dict[str, _Tensor] = unpickler.load()
    dtypes = {t.storage.key: t.storage.dtype for t in tensors.values()}
    storages = {}
    for key in _TensorUnpickler(file).load():
        count = int(np.frombuffer(file.read(8), "<i8")[0])
        data = file.read(count * dtypes[key].itemsize)
        storages[key] = np.frombuffer(data, dtypes[key], count)
    return {name: tensor.read(storages) for name, tensor in tensors.items()}
