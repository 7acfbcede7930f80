from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.dataset import Embedded
from cache.errors import UserError
from cache.workspace import Workspace
from classify.data.labelled import Columns
from classify.data.rows import blocks
from classify.data.rows.blocks import by_blocks, held, sweep
from classify.data.rows.budget import COPIES, OTHERS, budget, room, rows_of
from classify.data.rows.streamed import Streamed
from extract import machine
from tests.classify.samples import SPACE, make_manifest


def two_spaces(folder: Path, dtype: str) -> Embedded:
    """50 rows in two spaces, in shards that hold them in other orders."""
    workspace, manifest = Workspace(folder).create(), make_manifest(np.zeros(50, int), ("a",))
    spaces = [replace(SPACE, dtype=dtype), replace(SPACE, backbone="other", dtype=dtype)]
    stores, draw = [workspace.store(space) for space in spaces], np.random.default_rng(0)
    for store, width in zip(stores, (4, 3), strict=True):
        rows = draw.normal(size=(50, width)).astype(dtype)
        for some in np.array_split(draw.permutation(50), 3):
            store.add(manifest.key[some], rows[some])
    return Embedded("digits", tuple(stores), manifest, 0)


@pytest.fixture
def data(tmp_path: Path) -> Embedded:
    return two_spaces(tmp_path, "float32")


def test_streamed_rows_are_those_in_memory(data: Embedded) -> None:
    rows, whole = Streamed.of(data), data.embedding
    some = np.array([40, 3, 3, 7])
    assert rows.shape == whole.shape and (rows[some] == whole[some]).all()
    half = np.arange(50) % 2 == 0
    columns = Columns("", ((1, 2), (3, 6)))
    narrow = Columns("", ((0, 1), (2, 4))).of(columns.of(rows.select(half)))
    assert (narrow[np.arange(25)] == whole[half][:, [1, 4, 5]]).all() and narrow.shape == (25, 3)
    assert rows[np.empty(0, int)].shape == (0, 7)


def test_a_sweep_sees_every_row_once_in_the_order_of_the_files(
    data: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BYTES", 7 * 4 * 8)  # eight rows
    rows, whole = Streamed.of(data).select(np.arange(10, 50)), data.embedding[10:]
    for each in (rows, whole):
        seen = list(sweep(each, lambda block, places: (places, (block == whole[places]).all()), 2))
        assert len(seen) == 5 and all(same for _, same in seen)
        assert (np.sort(np.concatenate([places for places, _ in seen])) == np.arange(40)).all()
        assert (by_blocks(each, lambda block, places: 2 * block) == 2 * whole).all()
    assert (np.concatenate([p for p, _ in sweep(rows, lambda b, p: (p, b), 2)]) == rows.in_file_order()).all()


def test_rows_that_are_gone_through_often_are_held_as_they_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = two_spaces(tmp_path, "float16")
    order, mirrored = np.random.default_rng(1).permutation(50)[:40], Columns("", ((2, 6),))
    whole = half.embedding[order][:, 2:6]

    def rows(spare: float) -> Streamed:
        return Streamed.of(half, spare).select(order).only(mirrored)

    single, stored = 4 * 40 * 4, 2 * 40 * 7
    assert (held(rows(single)) == whole).all() and isinstance(held(rows(single)), np.ndarray)
    monkeypatch.setattr(blocks, "BYTES", 7 * 4 * 7)  # seven rows
    kept = held(rows(stored))
    assert isinstance(kept, Streamed) and kept.spare == 0 and kept.shape == (40, 4)
    from_disk = rows(stored - 1)
    assert held(from_disk) is from_disk
    assert len(np.unique([kept.identity().tobytes(), rows(0).identity().tobytes()])) == 2
    for store in half.stores:
        for path in store.paths():
            path.unlink()
    assert (kept[np.arange(40)] == whole).all() and (kept[np.array([5, 3, 3])] == whole[[5, 3, 3]]).all()
    assert (kept.select(np.arange(10, 20))[np.array([4, 5])] == whole[14:16]).all()
    assert (by_blocks(kept, lambda block, places: block, 2) == whole).all()


def test_rows_that_were_lost_meanwhile_are_told(data: Embedded) -> None:
    rows = Streamed.of(data)
    data.stores[0].paths()[-1].unlink()
    with pytest.raises(UserError, match="part of the cache was lost"):
        rows[np.arange(50)]


def test_what_fits_the_budget_is_in_memory_and_else_streamed(data: Embedded) -> None:
    needed = OTHERS + COPIES * 4 * 50 * 7
    assert isinstance(rows_of(data, needed - 1), Streamed) and room(7, needed) == 50
    assert rows_of(data, needed) is data.embedding and rows_of(data) is data.embedding


def test_many_rows_are_streamed_where_all_that_is_asked_can_be_done_in_blocks(
    data: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classify.data.rows.budget.MANY", 51)
    assert rows_of(data, in_blocks=True) is data.embedding
    monkeypatch.setattr("classify.data.rows.budget.MANY", 50)
    assert isinstance(rows_of(data, in_blocks=True), Streamed) and rows_of(data) is data.embedding


def test_a_budget_is_asked_for_or_a_third_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget(1.5) == 1.5e9 and budget(None) == machine.memory() / 3
    with pytest.raises(UserError, match="--max-memory-gb above 0, received 0"):
        budget(0)


def test_the_limit_of_a_control_group_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("max\n")
    outer.write_text("1000000\n")
    monkeypatch.setattr(machine, "_memory_limits", lambda: iter([inner, outer, tmp_path / "none"]))
    assert machine.memory() == 1_000_000
