"""What is asked for is refused at once where it cannot be done."""

from math import nan
from typing import get_type_hints

import pytest

from cache.errors import UserError
from classify.training import settings
from classify.training.settings import LEARNING_RATES, Settings


@pytest.mark.parametrize(("name", "low", "high"), settings._RANGES)
def test_numbers_are_kept_in_their_range(name: str, low: float, high: float) -> None:
    for value in (low, high):
        assert getattr(Settings(**{name: value}), name) == value
    for value in (low - 1e-6, high * 1.001, nan):
        with pytest.raises(UserError, match=f"--{name.replace('_', '-')} from .* to .*, received") as error:
            Settings(**{name: value})
        assert f"{value:g}" in str(error.value)


@pytest.mark.parametrize(("name", "known"), settings._NAMES.items())
def test_names_are_those_of_a_list(name: str, known: tuple[str | None, ...]) -> None:
    for value in known:
        assert getattr(Settings(**{name: value}), name) == value
    listed = ", ".join(filter(None, known))
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} out of {listed}; received 'nonsense'"):
        Settings(**{name: "nonsense"})


def test_every_number_has_a_range() -> None:
    """A field that is added is refused too when it makes no sense; those left are looked up elsewhere."""
    elsewhere = {"top", "seed"}  # a border that cannot be found is refused with the layers there are
    kinds = (int, float, int | None, float | None)
    numbers = {name for name, kind in get_type_hints(Settings).items() if kind in kinds}
    assert numbers - elsewhere == {name for name, *_ in settings._RANGES}


def test_each_optimizer_has_a_learning_rate_of_its_own() -> None:
    for name, rate in LEARNING_RATES.items():
        assert Settings(optimizer=name).learning_rate == rate
        assert Settings(optimizer=name, lr=0.5).learning_rate == 0.5
    assert Settings(optimizer="sgd").learning_rate > 10 * Settings(optimizer="adamw").learning_rate
