"""Tables as pandas DataFrames; pandas is loaded when one is made, for it takes half a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def change_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return a frame with its texts changed; numbers stay, and so does what is missing."""
    import pandas as pd

    changed = table.copy(deep=False)
    for name in table.select_dtypes(["object", "category"]):
        texts = [change(value) if isinstance(value, str) else value for value in table[name]]
        changed[name] = pd.Series(texts, dtype=TEXT, index=table.index)
    return changed
