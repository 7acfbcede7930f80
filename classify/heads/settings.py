"""A setting of a head in plain values, as tables and run.json have it, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cache.errors import UserError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

PARTS = "parts"  # a setting that is no step's: which columns of a row go to the head


def plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Write parameters of a Pipeline in plain values.

    Steps' names are left out, a scaling goes by its name, whatever is no JSON is text.
    """
    from classify.heads.fitting.parts import PartSelector
    from classify.heads.fitting.scaling import scaling_name

    found = {}
    for name, value in params.items():
        if isinstance(value, PartSelector):
            value = value.columns.name
        elif not isinstance(value, str | int | float | bool | list | tuple | None):
            value = scaling_name(value) or repr(value)
        found[name.rpartition("__")[2]] = "none" if value == "passthrough" else value
    return found


def applied(pipeline: Pipeline, settings: Mapping[str, Any], widths: Sequence[int] = ()) -> Pipeline:
    """Set what `plain` wrote of a Pipeline like this one; `widths` are of the parts of a row.

    Raises
    ------
    UserError
        For a setting that it does not have.
    """
    from classify.heads.fitting.scaling import of_parts, scalings

    own = {name.rpartition("__")[2]: name for name in pipeline.get_params() if name.count("__") == 1}
    for name, value in settings.items():
        if name == PARTS:
            continue
        if name == "scale":
            pipeline.set_params(scale=of_parts(scalings(value), tuple(widths))[0])
        elif name in own:
            pipeline.set_params(**{own[name]: tuple(value) if isinstance(value, list) else value})
        else:
            raise UserError(
                f"Expected settings of the head that this version knows, received {name} = {value!r}. Run `fit-head` "
                "again, and start from that run."
            )
    return pipeline
