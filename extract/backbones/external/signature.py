"""Which of a model's outputs becomes the embedding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cache.errors import UserError

# As TF-Hub, Keras and Transformers call what sums a picture up; the first that is there is taken.
USUAL = ("default", "feature_vector", "pooled_output", "pooler_output", "embedding", "embeddings", "features")
Shape = Sequence[int | None] | None


def choose_output(outputs: Mapping[str, Shape], asked: str, model: str) -> str:
    """Choose the output asked for, or else the only one, a usual one, or the only one of shape (B, D).

    Parameters
    ----------
    outputs : mapping of name to shape
        With the batch axis; None where the shape is not known.
    asked : str
        Name of an output; empty for the best guess.
    model : str
        As the user wrote it, for the message.

    Raises
    ------
    UserError
        If there is no such output, or more than one could be meant.
    """
    listed = ", ".join(f"{name} {_text(shape)}" for name, shape in sorted(outputs.items())) or "none"
    if asked or not outputs:
        if asked in outputs:
            return asked
        raise UserError(f"Expected an output of {model} after '#', received {asked!r}. It has {listed}.")
    if len(outputs) == 1:
        return next(iter(outputs))
    for name in USUAL:
        if name in outputs:
            return name
    rows = [name for name, shape in outputs.items() if shape is not None and len(shape) == 2]
    if len(rows) == 1:
        return rows[0]
    first = min(outputs)
    raise UserError(
        f"Expected to know which output of {model} is the embedding, received several: {listed}. Name one behind "
        f"'#', as in --backbone '{model}#{first}'."
    )


def _text(shape: Shape) -> str:
    if shape is None:
        return "of unknown shape"
    return "(" + ", ".join(["B", *("?" if side is None else str(side) for side in list(shape)[1:])]) + ")"


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
