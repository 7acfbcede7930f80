"""What a model wants to be fed with, where that is pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PictureInput:
    """A batch of square pictures, (B, s, s, 3)."""

    size: int  # pixels a side; 0: any
    dtype: str

    @property
    def floating(self) -> bool:
        """Whether numbers other than whole ones can be given."""
        return self.dtype.startswith(("float", "bfloat"))


def read_input(inputs: Mapping[str, Any]) -> PictureInput | None:
    """Read the one input of a model; None if it has several, or takes something other than square RGB pictures.

    Parameters
    ----------
    inputs : mapping of name to a tensor's specification, with `shape` and `dtype`
        A shape may be unknown, as a whole or in parts.
    """
    if len(inputs) != 1:
        return None
    spec = next(iter(inputs.values()))
    dtype = getattr(spec.dtype, "name", spec.dtype)
    known = getattr(spec.shape, "rank", 0) is not None
    shape = tuple(spec.shape) if known else (None, None, None, 3)
    if len(shape) != 4 or shape[3] not in (3, None) or shape[0] is not None:
        return None
    height, width = shape[1:3]
    if height != width or not dtype.startswith(("float", "bfloat", "uint8", "int32")):
        return None
    return PictureInput(height or 0, dtype)
