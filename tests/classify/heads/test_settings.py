"""What run.json keeps of a setting makes the same Pipeline again."""

import json

import pytest
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from cache.errors import UserError
from classify.heads.fitting.scaling import of_parts
from classify.heads.settings import applied, plain
from tests.classify.heads.test_arrays import TABLE, WIDTHS


@pytest.mark.parametrize("widths", [(), WIDTHS])
@pytest.mark.parametrize("name", TABLE)
def test_each_setting_of_the_table_comes_back(name: str, widths: tuple[int, ...]) -> None:
    head = TABLE[name]
    for params in ParameterGrid(head.grid(64)):
        scaled = {"scale": of_parts([params["scale"]], widths)[0]} if "scale" in params else {}
        chosen = params | scaled
        expected = clone(head.make()).set_params(**chosen)
        settings = json.loads(json.dumps(plain(chosen) | {"parts": "all"}))
        assert repr(applied(head.make(), settings, widths).get_params()) == repr(expected.get_params())


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(UserError, match="received depth = 3"):
        applied(TABLE["logreg"].make(), {"depth": 3})
