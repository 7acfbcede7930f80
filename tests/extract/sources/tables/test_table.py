"""Tables as data sources: what is read, what is refused, and that nothing disappears quietly."""

import os
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from cache.workspace import Workspace
from extract.commands.manifest import hash_missing, survey
from extract.embedding.progress import Progress
from extract.settings import Columns
from extract.sources.source import default_name, scan
from extract.sources.tables.table import read_table
from tests.extract.sample_pictures import encode, scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "deep/c d.jpg", "1,2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(os.fsencode(name))
    return tmp_path


def write(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def labels(manifest: Manifest) -> list[str | None]:
    return [manifest.classes[code] if code >= 0 else None for code in manifest.label]


def test_rows_become_samples_in_the_order_of_the_table(folder: Path) -> None:
    table = write(folder, 'path,label\nb.jpg,rose\na.jpg,7\ndeep/c d.jpg,\n"1,2.jpg", rose \n')
    found = read_table(table)
    manifest = found.manifest
    assert (manifest.root, manifest.table) == (str(folder), "labels.csv")
    assert manifest.paths == ["b.jpg", "a.jpg", "deep/c d.jpg", "1,2.jpg"]
    assert labels(manifest) == ["rose", "7", None, "rose"] and manifest.classes == ("7", "rose")
    assert not manifest.split.any() and not manifest.hashed.any() and manifest.columns == {}
    assert manifest.size.tolist() == [5, 5, 12, 7]
    assert manifest.mtime_ns[0] == (folder / "b.jpg").stat().st_mtime_ns
    assert (manifest.label.dtype, manifest.split.dtype) == (np.int32, np.uint8)
    assert (found.rejects, found.ignored) == ([], 0)
    assert found.notes == ["1 rows have no label", "1 class with a single file: '7'"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.tsv", "Label\tPATH\nx\ta.jpg\ny\tb.jpg\n"),
        ("t.TSV", "Label\tPATH\r\nx\ta.jpg\r\n\r\ny\tb.jpg"),
        ("t.csv", "\ufeff Label ,Path\nx,a.jpg\ny,b.jpg\n"),
        ("t.CSV", '\ufeff"label","path"\nx,a.jpg\n\n\ny,b.jpg\n'),
        ("t.csv", '\ufeff"Label";Path;price\r\nx;a.jpg;1,5\r\ny;b.jpg;2,5\r\n'),
        ("t.csv", "label\tpath\nx\ta.jpg\ny\tb.jpg\n"),
        ("t.csv", "label,path,a;b\nx,a.jpg,1\ny,b.jpg,2\n"),
    ],
)
def test_suffix_header_and_byte_order_mark(folder: Path, name: str, text: str) -> None:
    manifest = read_table(write(folder, text, name)).manifest
    assert manifest.paths == ["a.jpg", "b.jpg"] and labels(manifest) == ["x", "y"]


def test_absolute_paths_are_taken_and_one_file_has_one_path(folder: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("other") / "z.jpg"
    other.write_bytes(b"z")
    table = write(folder, f"path,label\n{folder}/a.jpg,x\n./a.jpg,x\ndeep//./c d.jpg,y\n{other},y\n")
    found = read_table(table)
    assert found.manifest.paths == ["a.jpg", "deep/c d.jpg", str(other)]
    assert "1 rows repeat the path of another and are left out" in found.notes
    assert hash_missing(found.manifest, 1) == [] and found.manifest.hashed.all()


@pytest.mark.parametrize("second", ["a.jpg,y,train", "./a.jpg,x,test", "a.jpg,,train"])
def test_two_truths_about_one_picture_are_refused(folder: Path, second: str) -> None:
    table = write(folder, f"path,label,split\na.jpg,x,train\nb.jpg,x,test\n{second}\n")
    with pytest.raises(UserError, match=r"in line 2 and .* in line 4 for 'a\.jpg'"):
        read_table(table)


def test_split_names_are_those_of_folders(folder: Path) -> None:
    found = read_table(
        write(folder, "split,path,label\nTraining,a.jpg,x\ndev,b.jpg,x\n,deep/c d.jpg,x\ntest,'.jpg,x\n")
    )
    assert [SPLITS[code] for code in found.manifest.split] == ["train", "val", ""]
    assert [reject.path for reject in found.rejects] == ["'.jpg"]
    with pytest.raises(UserError, match=r"testing, or nothing, .* received 'tests' in line 3"):
        read_table(write(folder, "split,path,label\ntest,a.jpg,x\ntests,b.jpg,x\n"))


@pytest.mark.parametrize(("value", "noted"), [("train", True), ("", False)])
def test_a_split_that_divides_nothing_is_noted(folder: Path, value: str, noted: bool) -> None:
    found = read_table(write(folder, f"path,label,split\na.jpg,x,{value}\nb.jpg,y,{value}\n"))
    assert any("the column split is 'train' in every row" in note for note in found.notes) == noted


@pytest.mark.parametrize(
    "values", [("test", "test"), ("val", "val"), ("val", "test"), ("", "test"), ("train", "test")]
)
def test_a_split_that_leaves_no_row_for_training_is_noted(folder: Path, values: tuple[str, str]) -> None:
    found = read_table(write(folder, "path,label,split\na.jpg,x,{}\nb.jpg,y,{}\n".format(*values)))
    expected = not {"", "train"} & set(values)
    assert any("no row is left for training" in note for note in found.notes) == expected


def test_other_columns_are_kept_and_named(folder: Path) -> None:
    text = ",path,Patient,label,key,weight\n0,a.jpg,p1,x,00,1.0\n1,gone.jpg,p2,x,00,\n2,b.jpg, p3,y,00,1e3\n"
    found = read_table(write(folder, text))
    assert found.manifest.columns == {"Patient": ["p1", " p3"], "weight": ["1.0", "1e3"]}
    assert "further columns, kept with the pictures: 'Patient', 'weight'" in found.notes
    assert "1 columns without a name are left out" in found.notes


def test_files_that_are_not_there_are_counted_rejects(folder: Path) -> None:
    found = read_table(write(folder, "path,label\ngone.jpg,x\na.jpg,x\ndeep,x\n,x\n,y\n"))
    assert [(r.path, r.key) for r in found.rejects] == [
        ("gone.jpg", None),
        ("deep", None),
        ("", None),
        ("", None),
    ]
    reasons = [r.reason for r in found.rejects]
    assert reasons[0].startswith("missing: ") and reasons[1:3] == [
        "not a file but a folder",
        "line 5 has no path",
    ]
    assert found.manifest.paths == ["a.jpg"]
    with pytest.raises(UserError, match=r"2 rows without a file, the first 'no' .* table's folder"):
        read_table(write(folder, "path,label\nno,x\nnone,x\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("path,label\n", "the names of the columns alone"),
        ("path|label\na.jpg|x\n", "received 'path\\|label'.*separated by ','"),
        ("path;label\na.jpg;x;y\n", "received 3 in line 2. A value that holds ';' must be in double quotes"),
        ("a.jpg,x\n", "received 'a.jpg', 'x'"),
        ("path,Path,label\n", "received 'path' twice"),
        ("path,label\na.jpg,x,y\n", "2 columns .* received 3 in line 2"),
        ("path,label\n\na.jpg\n", "received 1 in line 3"),
        ('path,label\n"a.jpg,x\nb.jpg,y\n', "Check the double quotes"),
        ('path,label\n"a"b.jpg,x\n', "line 2.*double quotes"),
        ("path,label\na.jpg,caf\xe9\n".encode("latin-1"), r"UTF-8 .* 'caf\\udce9' in line 2"),
        ("path,label\ncaf\xe9.jpg,x\n".encode("latin-1"), "which no file is named"),
        ("path,label,caf\xe9\n".encode("latin-1"), "the column"),
        ("path,label\na.jpg,x\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(folder: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_table(write(folder, text))


def test_names_that_are_not_utf8_and_odd_line_ends_inside_values(folder: Path) -> None:
    name = b"caf\xe9\x0b\xe2\x80\xa8.jpg"
    (folder / os.fsdecode(name)).write_bytes(b"x")
    found = read_table(write(folder, b"path,label\n" + name + b',x\na.jpg,"two\nlines"\n'))
    assert found.manifest.paths == [os.fsdecode(name), "a.jpg"]
    assert labels(found.manifest) == ["x", "two\nlines"]


def test_scan_reads_a_table_and_carries_keys(folder: Path) -> None:
    table = write(folder, "path,label\na.jpg,x\nb.jpg,y\n")
    first = scan(table).manifest
    hash_missing(first, 1)
    write(folder, "path,label\nb.jpg,z\n1\\,2.jpg,x\na.jpg,x\n".replace("\\,", "_"))
    again = scan(table, [first]).manifest
    assert again.paths == ["b.jpg", "a.jpg"] and (again.key == first.key[[1, 0]]).all()
    assert again.hashed.all() and default_name(table) == "labels"


def test_a_folder_may_be_named_like_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "photos.csv"
    (folder / "rose").mkdir(parents=True)
    (folder / "rose/1").write_bytes(b"1")
    assert scan(folder).manifest.table == "" and default_name(folder) == "photos.csv"
    for missing in ("none.csv", "none"):
        with pytest.raises(UserError, match="none"):
            scan(tmp_path / missing)


@pytest.mark.parametrize("text", ['Path;"label"\r\na.jpg;"x;y"\r\n', "path\tlabel\na.jpg\tx;y\n"])
def test_a_table_with_the_separator_of_a_spreadsheet_is_read(folder: Path, text: str) -> None:
    manifest = read_table(write(folder, text)).manifest
    assert (manifest.paths, manifest.classes) == (["a.jpg"], ("x;y",))


def test_a_table_for_a_spreadsheet_runs_nothing_and_is_read_as_it_was(tmp_path: Path) -> None:
    for name in ("=1+1", "-x", "'-x", "plain"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        (tmp_path / "pics" / name / "1.ppm").write_bytes(encode(scene(seed=len(name)), "PPM"))
    survey(
        Workspace(tmp_path / "w"), tmp_path / "pics", None, Progress(), out=tmp_path / "pics" / "labels.csv"
    )
    text = (tmp_path / "pics" / "labels.csv").read_text()
    assert not any(cell.startswith(("=", "-")) for row in text.splitlines() for cell in row.split(","))
    manifest = read_table(tmp_path / "pics" / "labels.csv").manifest
    assert manifest.classes == ("'-x", "-x", "=1+1", "plain")
    assert [path.split("/")[0] for path in manifest.paths] == labels(manifest)


def test_columns_of_other_names_without_suffixes_in_a_folder_named_alike(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for name in ("1", "2"):
        (tmp_path / "train" / f"{name}.jpg").write_text(name)
    (tmp_path / "train.csv").write_text("id;breed;label\n1;pug;x\n2;boxer;y\n")
    found = scan(tmp_path / "train.csv", columns=Columns("id", "breed", ".jpg"))
    assert found.manifest.paths == ["train/1.jpg", "train/2.jpg"] and found.manifest.classes == (
        "boxer",
        "pug",
    )
    with pytest.raises(
        UserError, match=r"Expected a column 'kind' in .*'id', 'breed', 'label'.*--label-column"
    ):
        scan(tmp_path / "train.csv", columns=Columns("id", "kind"))
    with pytest.raises(UserError, match=r"path and label, each once.*--path-column"):
        scan(tmp_path / "train.csv")
