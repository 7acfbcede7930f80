"""Tables as pandas DataFrames; pandas is loaded when one is made, for it takes half a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# pandas' own type of text refuses what file names may hold: bytes that are not UTF-8, carried as surrogates.
TEXT = "object"
COUNT, NUMBER, FLAG, TIME = "int64", "float64", "bool", "datetime64[ns, UTC]"


def frame(columns: Mapping[str, str], records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a frame of these columns, name to dtype, also where there is no record.

    A record may hold more than the columns. Its None is NaN in a column of numbers, and stays None among texts; both
    are missing to pandas.
    """
    import pandas as pd

    return pd.DataFrame(
        {name: pd.Series([each[name] for each in records], dtype=dtype) for name, dtype in columns.items()}
    )
