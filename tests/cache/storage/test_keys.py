import numpy as np
import pytest

from cache.storage.keys import as_items, match, unique


@pytest.fixture
def close_keys():
    """Keys that differ late, have zeros at the end, or bytes above 127, and repeat."""
    keys = np.zeros((9, 32), np.uint8)
    keys[1, 31] = 1
    keys[2, 8] = 200
    keys[3, 7] = 255
    keys[4, 0] = 128
    keys[5, 0] = 127
    keys[6] = keys[2]
    keys[7, 9] = 1
    keys[8] = keys[0]
    return keys


def test_unique_agrees_with_python(close_keys):
    items = [row.tobytes() for row in close_keys]
    distinct, first, inverse = unique(as_items(close_keys))
    rows = distinct.view(np.uint8).reshape(-1, 32)
    assert [row.tobytes() for row in rows] == sorted(set(items))
    assert [items.index(row.tobytes()) for row in rows] == first.tolist()
    assert [rows[place].tobytes() for place in inverse] == items


def test_unique_of_nothing():
    assert [len(part) for part in unique(as_items(np.empty((0, 32), np.uint8)))] == [0, 0, 0]


@pytest.mark.parametrize(("left", "right"), [(50, 400), (400, 50), (7, 0), (0, 7), (60, 60)])
def test_match_finds_exactly_the_shared_keys(left, right):
    pool = np.random.default_rng(1).integers(0, 256, (500, 32), dtype=np.uint8)
    pool[:, :10] = 7  # long common beginnings
    asked = unique(as_items(pool[:left]))[0]
    held = unique(as_items(pool[30 : 30 + right]))[0]
    i, j = match(asked, held)
    assert np.array_equal(asked[i], held[j])
    assert set(asked[i].tolist()) == set(asked.tolist()) & set(held.tolist())


def test_rejects_other_shapes():
    with pytest.raises(ValueError, match="32"):
        as_items(np.zeros((3, 20), np.uint8))
