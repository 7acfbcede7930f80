"""Which of a model's outputs becomes the embedding."""

from collections.abc import Mapping, Sequence

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
