"""The same pictures in every wrapping: embedded once, told alike, read again from each."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cache.workspace import Workspace
from classify.data.identity import data_hash
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.commands.manifest import survey
from extract.embedding.progress import Progress
from extract.pictures import files
from extract.settings import Decoding, Options
from extract.sources.source import open_source
from tests.extract.counting import CountingEngine
from tests.extract.sources.wrappings import (
    pictures_of,
    write_coco,
    write_hub,
    write_tar,
    write_webdataset,
    write_zip,
)

pytest.importorskip("pyarrow")


@pytest.fixture
def wrapped(folder: Path) -> list[Path]:
    """A folder and nine other wrappings of its pictures."""
    place, pictures = folder.parent, pictures_of(folder)
    members = [(f"{label}/{name}", data) for name, data, label in pictures]
    (place / "table.csv").write_text(
        "path,label\n" + "".join(f"pictures/{name},{name.partition('/')[0]}\n" for name, _ in members)
    )
    beside = place / "beside"
    shutil.copytree(folder, beside)
    (beside / "metadata.csv").write_text(
        "file_name,label\n" + "".join(f"{name},{name.partition('/')[0]}\n" for name, _ in members)
    )
    write_hub(place / "hub/data/train-00000-of-00002.parquet", pictures[:5])
    write_hub(place / "hub/data/train-00001-of-00002.parquet", pictures[5:])
    return [
        folder,
        write_zip(place / "a.zip", pictures),
        write_tar(place / "b.tar", members),
        write_tar(place / "c.tgz", members, "w:gz"),
        write_webdataset(place / "samples", pictures),
        write_hub(place / "one.parquet", pictures),
        place / "hub",
        place / "table.csv",
        beside,
        write_coco(folder / "coco.json", pictures),
    ]


def test_the_first_embeds_and_the_others_nothing(wrapped: list[Path], engine: CountingEngine) -> None:
    workspace, hashes = Workspace(wrapped[0].parent / "workspace"), set()
    for source in wrapped:
        done = extract(workspace, source, Backbone.of("mobilenet_v2", "none", 32), Decoding(), Options())
        assert (done.files - done.rejected, done.rejected <= 1) == (9, True), source
        manifest = workspace.load(done.dataset).manifest
        hashes.add(data_hash(manifest, np.zeros(9, np.uint8)))
        again = open_source(workspace, source).scan([workspace.manifest(done.dataset)]).manifest
        assert again.hashed.all() and (again.size == manifest.size).all(), (
            source
        )  # a second run reads nothing
    assert engine.pictures == 9 and len(hashes) == 1


def test_what_is_kept_is_made_again_from_each(wrapped: list[Path], engine: CountingEngine) -> None:
    workspace = Workspace(wrapped[0].parent / "workspace")
    for source in wrapped[1:]:
        found = survey(workspace, source, None, Progress())
        table = source.parent / "out.csv"
        found.write_table(table)
        listed = open_source(workspace, table).scan().manifest  # also of pictures that are no files
        assert len(listed) == 9 and listed.counts() == {"cat": 5, "dog": 4}
        for row in range(9):
            contents = files.hashed(files.address(listed, row))
            assert contents.key == found.manifest.key[row].tobytes()


def test_bytes_that_are_no_picture_and_rows_without_any_are_rejects(
    folder: Path, engine: CountingEngine
) -> None:
    pictures = [("x.jpg", b"no picture", "cat"), ("y.jpg", None, "dog"), *pictures_of(folder)]
    source = write_hub(folder.parent / "some.parquet", pictures)  # type: ignore[arg-type]
    for embedded in (9, 0):
        workspace = Workspace(folder.parent / "workspace")
        done = extract(workspace, source, Backbone.of("mobilenet_v2", "none", 32), Decoding(), Options())
        assert (done.files, done.embedded, done.rejected) == (11, embedded, 2)
        reasons = {reject.path: reject.reason for reject in done.rejects}
        assert reasons["some.parquet/image/0000000-x.jpg"].startswith("no picture")
        assert reasons["some.parquet/image/0000001-y.jpg"] == "cannot be read: the row has no bytes"
