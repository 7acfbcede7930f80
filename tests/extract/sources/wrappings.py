"""The same pictures in every wrapping that data sets come in."""

import io
import json
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Picture = tuple[str, bytes, str]  # name, bytes, class


def pictures_of(folder: Path) -> list[Picture]:
    files = sorted(path for path in folder.glob("*/*"))
    return [(path.name, path.read_bytes(), path.parent.name) for path in files]


def write_tar(path: Path, members: Sequence[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, pictures: Sequence[Picture]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data, label in pictures:
            file.writestr(f"{label}/{name}", data)
    return path


def samples(pictures: Sequence[Picture], classes: Sequence[str]) -> list[tuple[str, bytes]]:
    """Members of a WebDataset: a number, and the picture and its class by number."""
    found = []
    for number, (name, data, label) in enumerate(pictures):
        suffix = name.rpartition(".")[2]
        found += [(f"{number:06d}.{suffix}", data), (f"{number:06d}.cls", str(classes.index(label)).encode())]
    return found


def write_webdataset(folder: Path, pictures: Sequence[Picture], tars: int = 2) -> Path:
    folder.mkdir()
    classes = sorted({label for _, _, label in pictures})
    (folder / "classnames.txt").write_text("\n".join(classes))
    for number in range(tars):
        write_tar(folder / f"part-{number:06d}.tar", samples(pictures[number::tars], classes))
    return folder


def write_hub(path: Path, pictures: Sequence[Picture], *, rows: int = 4, **columns: list) -> Path:
    """A Parquet file as the package `datasets` writes it."""
    classes = sorted({label for _, _, label in pictures})
    images = [{"bytes": data, "path": name} for name, data, _ in pictures]
    features = {"image": {"_type": "Image"}, "label": {"names": classes, "_type": "ClassLabel"}}
    table = pa.table(
        {
            "image": pa.array(images, pa.struct({"bytes": pa.binary(), "path": pa.string()})),
            "label": pa.array([classes.index(label) for _, _, label in pictures], pa.int64()),
            **columns,
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows)
    return path


def write_coco(path: Path, pictures: Sequence[Picture]) -> Path:
    classes = sorted({label for _, _, label in pictures})
    said = {
        "images": [{"id": n, "file_name": f"{label}/{name}"} for n, (name, _, label) in enumerate(pictures)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(classes, 1)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": classes.index(label) + 1}
            for n, (_, _, label) in enumerate(pictures)
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said))
    return path
