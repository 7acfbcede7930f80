"""Legacy PyTorch files: tensors come out right, and nothing else comes out at all."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from extract.backbones.efficientnet_lite import packaged_weights
from extract.backbones.torch_weights import MAGIC, read_tensors


class _Named:
    """Pickles as a reference to a global that need not exist here."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Pickler(pickle._Pickler):  # the Python one, whose `save` can be overridden
    def save(self, obj, save_persistent_id=True):  # type: ignore[no-untyped-def]
        if isinstance(obj, _Named):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, _Tensor):
            self.save(_Named("torch._utils", "_rebuild_tensor_v2"))
            self.write(b"(")
            self.write(b"(")
            for item in ("storage", _Named("torch", "FloatStorage"), obj.key, "cpu", obj.count, None):
                self.save(item)
            self.write(b"tQ")  # a tuple, as persistent id
            for item in (obj.offset, obj.shape, obj.strides, False):
                self.save(item)
            self.write(b"tR")
        else:
            super().save(obj, save_persistent_id)


class _Tensor:
    def __init__(self, key: str, count: int, offset: int, shape: tuple, strides: tuple) -> None:
        self.key, self.count, self.offset, self.shape, self.strides = key, count, offset, shape, strides


def write(path: Path, content: object, storages: dict[str, np.ndarray]) -> Path:
    with path.open("wb") as file:
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
        for part in (MAGIC, 1001, system):
            pickle.dump(part, file, 2)
        _Pickler(file, 2).dump(content)
        pickle.dump(list(storages), file, 2)
        for array in storages.values():
            file.write(np.int64(array.size).tobytes() + array.astype("<f4").tobytes())
    return path


def test_strides_and_offset_are_honoured(tmp_path: Path) -> None:
    data = np.arange(12, dtype="<f4")
    content = OrderedDict(a=_Tensor("7", 12, 2, (2, 3), (1, 2)), b=_Tensor("7", 12, 0, (), ()))
    tensors = read_tensors(write(tmp_path / "x.pth", content, {"7": data}))
    assert tensors["a"].tolist() == [[2, 4, 6], [3, 5, 7]]
    assert tensors["a"].flags.c_contiguous
    assert tensors["b"].shape == () and tensors["b"] == 0


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (3, 5), (5, 1)), (-1, (2,), (1,)), (11, (2,), (1,)), (5, (2,), (-1,))],
)
def test_a_tensor_outside_its_storage_is_refused(
    tmp_path: Path, offset: int, shape: tuple, strides: tuple
) -> None:
    content = OrderedDict(a=_Tensor("7", 12, offset, shape, strides))
    with pytest.raises(UserError, match="outside its storage"):
        read_tensors(write(tmp_path / "x.pth", content, {"7": np.zeros(12)}))


def test_code_in_the_file_does_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "ran"),)

    with pytest.raises(UserError, match="not a tensor"):
        read_tensors(write(tmp_path / "x.pth", Payload(), {}))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps(3, 2), b"PK\x03\x04 a zip"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="legacy PyTorch file"):
        read_tensors(path)


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    whole = packaged_weights("efficientnet_lite0")
    assert whole is not None
    path = tmp_path / "half.pth"
    path.write_bytes(whole.read_bytes()[:9_000_000])
    with pytest.raises(UserError, match="legacy PyTorch file"):
        read_tensors(path)
