"""Rows of a Parquet file in any order, from several threads, without holding the file."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from extract.sources.places import parquet
from extract.sources.places.parquet import member, open_parquet
from tests.extract.sources.wrappings import write_hub

pytest.importorskip("pyarrow")


@pytest.mark.parametrize("rows", [7, 1000])
def test_any_row_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(parquet, "_BLOCK", 500)
    monkeypatch.setattr(parquet, "_KEPT", 2000)
    monkeypatch.setattr(parquet, "_BLOCKS", parquet._Blocks())
    data = [np.random.default_rng(n).bytes(100) for n in range(60)]
    path = write_hub(tmp_path / "a.parquet", [("x", each, "cat") for each in data], rows=rows)
    opened = open_parquet(str(path))

    def check(order: np.ndarray) -> None:
        for row in order.tolist():
            file, size = opened.open(member("image", row))
            assert size == 100 and file.read(101) == data[row]

    check(np.arange(60))
    orders = [np.random.default_rng(seed).permutation(60) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, orders))
    assert parquet._BLOCKS.bytes == sum(block.nbytes for block in parquet._BLOCKS._blocks.values()) <= 2000


def test_rows_in_order_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_BLOCK", 500)
    random = np.random.default_rng(0)
    path = write_hub(tmp_path / "a.parquet", [("x", random.bytes(100), "cat") for _ in range(60)], rows=1000)
    read, blocks = parquet._Cursor.read, []
    monkeypatch.setattr(parquet._Cursor, "read", lambda self: blocks.append(self.next) or read(self))
    opened = open_parquet(str(path))
    for row in range(60):
        opened.open(member("image", row))
    assert blocks == sorted(set(blocks)) and 3 < len(blocks) < 60
