"""Parquet files as tables of pictures."""

import sys
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import SPLITS
from extract.sources.source import default_name, scan
from extract.sources.tables.parquet import to_parquet
from extract.sources.tables.table import read_table

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_text(name)
    return tmp_path


def write(folder: Path, name: str = "labels.parquet", **columns: object) -> Path:
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def labels(path: Path) -> list[str | None]:
    manifest = read_table(path).manifest
    return [manifest.classes[code] if code >= 0 else None for code in manifest.label]


def test_rows_become_samples(folder: Path) -> None:
    table = write(
        folder,
        Path=["b.jpg", "a.jpg", "c.jpg"],
        LABEL=["rose", "tulip", None],
        split=["train", None, "Validation"],
        weight=[1.5, 2.0, None],
        who=[7, 8, 9],
        embedding=[[1, 2], [3], []],
    )
    found = scan(table)
    manifest = found.manifest
    assert (manifest.table, default_name(table)) == ("labels.parquet", "labels")
    assert manifest.paths == ["b.jpg", "a.jpg", "c.jpg"] and labels(table) == ["rose", "tulip", None]
    assert [SPLITS[code] for code in manifest.split] == ["train", "", "val"]
    assert manifest.columns == {"weight": ["1.5", "2", ""], "who": ["7", "8", "9"]}
    assert "1 columns without a name are left out" in found.notes


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 10, 3], ["3", "10", "3"]),
        (pa.array([1, None, 2], pa.int8()), ["1", None, "2"]),
        ([1.0, None, 2.0], ["1", None, "2"]),
        ([True, False, True], ["True", "False", "True"]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        (pa.array(["x", None, "x"], pa.large_string()), ["x", None, "x"]),
        (pa.array([float("nan"), 1, 2]), [None, "1", "2"]),
    ],
)
def test_labels_of_several_types(folder: Path, values: object, expected: list[str | None]) -> None:
    assert labels(write(folder, path=["a.jpg", "b.jpg", "c.jpg"], label=values)) == expected


def test_what_pandas_writes_is_read(folder: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "label": pd.Categorical(["x", "y"])}, index=[5, 9])
    frame.to_parquet(folder / "labels.parquet")
    assert labels(folder / "labels.parquet") == ["x", "y"]
    assert read_table(folder / "labels.parquet").manifest.columns == {}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": [1, 2], "label": ["x", "y"]}, "Expected text in the column path of .* received int64"),
        (
            {"path": ["a.jpg"], "label": [["x"]]},
            r"text or whole numbers in the column label .* received list",
        ),
        ({"path": ["a.jpg"], "label": ["x"], "split": [1]}, "text in the column split"),
        ({"path": ["a.jpg"], "label": ["x"], "split": ["tran"]}, "'tran' in row 1"),
        (
            {"image": [{"bytes": b"x", "path": "a"}], "label": [1]},
            r"the columns path and label.*received 'label'",
        ),
        ({"path": ["a.jpg"]}, "the columns path and label, each once"),
        ({"path": ["a.jpg", "b.jpg", "./a.jpg"], "label": ["x", "x", "y"]}, "in row 1 and .* in row 3"),
        (
            {"path": pa.array([], pa.string()), "label": pa.array([], pa.string())},
            "the names of the columns alone",
        ),
        (
            {"path": ["x.jpg", None], "label": ["x", "y"]},
            r"2 rows without a file, the first 'x.jpg' \(missing",
        ),
    ],
)
def test_what_cannot_be_used_says_so(folder: Path, columns: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_table(write(folder, **columns))


def test_values_that_are_no_text_say_so(folder: Path) -> None:
    raw = pa.array([b"\xff\xfe.jpg"], pa.binary())
    text = pa.StringArray.from_buffers(1, raw.buffers()[1], raw.buffers()[2])
    with pytest.raises(UserError, match=r"as text in the column path of .*utf-8"):
        read_table(write(folder, path=text, label=["x"]))
    late = pa.array([1 << 62], pa.timestamp("us"))
    with pytest.raises(UserError, match="as text in the column taken of"):
        read_table(write(folder, path=["a.jpg"], label=["x"], taken=late))


def test_a_name_with_a_zero_byte_is_a_reject(folder: Path) -> None:
    found = read_table(write(folder, path=["a.jpg", "a\0b.jpg"], label=["x", "x"]))
    assert [reject.path for reject in found.rejects] == ["a\0b.jpg"]
    assert found.rejects[0].reason.startswith("no file has such a name")


def test_what_is_no_parquet_file_says_so(folder: Path) -> None:
    (folder / "t.parquet").write_text("path,label\na.jpg,x\n")
    with pytest.raises(UserError, match=r"Expected a Parquet file in .*t\.parquet, but: "):
        read_table(folder / "t.parquet")
    path = write(folder, path=["a.jpg"] * 1000, label=["x"] * 1000)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="Expected a Parquet file"):
        read_table(path)
    with pytest.raises(UserError, match="Expected a Parquet file"):
        read_table(folder / "none.parquet")


def test_without_pyarrow_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write(folder, path=["a.jpg"], label=["x"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'coldframe\[parquet\]'"):
        read_table(table)


def test_names_that_are_not_utf8_are_refused_in_writing() -> None:
    pd = pytest.importorskip("pandas")
    with pytest.raises(UserError, match="csv"):
        to_parquet(Path("x.parquet"), pd.DataFrame({"path": pd.Series(["\udcff"], dtype=object)}))


def test_many_rows(folder: Path) -> None:
    names = [f"{i}.jpg" for i in range(70_000)]
    table = write(folder, path=[*names, "a.jpg"], label=np.arange(70_001))
    assert read_table(table).manifest.classes == ("70000",)
