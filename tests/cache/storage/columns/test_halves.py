import numpy as np
import pytest

from cache.storage.columns import halves
from cache.storage.columns.halves import _BLOCK, widened

ALL = np.arange(2**16, dtype=np.uint16).view(np.float16)


def test_every_number_is_widened_as_by_numpy() -> None:
    finite = ALL[np.isfinite(ALL)]
    for each in (ALL, finite, np.resize(finite, (3, _BLOCK + 1))):
        found = widened(each)
        assert (found.view(np.uint32) == each.astype(np.float32).view(np.uint32)).all()
        assert found.shape == each.shape


def test_finite_numbers_are_not_left_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    finite = ALL[np.isfinite(ALL)]
    expected = finite.astype(np.float32)
    monkeypatch.setattr(halves, "_one_after_the_other", None)
    assert (widened(finite) == expected).all()
    with pytest.raises(TypeError):
        widened(ALL)


def test_infinity_and_nan_stay_what_they_are_wherever_they_lie() -> None:
    for odd in (np.inf, -np.inf, np.nan):
        numbers = np.ones(2 * _BLOCK, np.float16)
        numbers[-7] = odd
        assert np.array_equal(widened(numbers), numbers.astype(np.float32), equal_nan=True)


def test_of_arrays_that_are_not_in_one_piece_or_empty() -> None:
    apart = ALL.reshape(256, 256)[1:20:3, ::2].T
    assert np.array_equal(widened(apart), apart.astype(np.float32), equal_nan=True)
    assert widened(np.empty((0, 3), np.float16)).shape == (0, 3)


def test_single_precision_is_left_alone() -> None:
    X = np.ones((2, 3), np.float32)
    assert widened(X) is X
