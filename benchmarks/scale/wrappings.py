"""One data set in six wrappings: the first is embedded, of the others nothing; what each `extract` takes."""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from cache.workspace import Workspace
from classify.data.identity import data_hash
from scale.measured import command
from tests.extract.sources.wrappings import (
    pictures_of,
    write_hub,
    write_tar,
    write_webdataset,
    write_zip,
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", type=Path, required=True, help="class folders")
    parser.add_argument("--most", type=int, default=0, help="pictures of each class; 0: all")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "coldframe-wrappings")


def run(asked: argparse.Namespace) -> None:
    shutil.rmtree(asked.folder, ignore_errors=True)
    place = ["--workspace", str(asked.folder / "workspace")]
    hashes = set()
    for source in _wrapped(asked):
        found = command("extract", str(source), "--json", *place)
        said = json.loads(found.output)
        done = {name: said[name] for name in ("files", "embedded", "cached", "rejected")}
        manifest = Workspace(asked.folder / "workspace").manifest(said["dataset"])
        hashes.add(data_hash(manifest, np.zeros(len(manifest), np.uint8)))
        again = command("extract", str(source), "--json", *place)
        print(f"{source.name}: {found}; {done}; again: {again}", flush=True)
    print(f"data hashes: {hashes}")


def _wrapped(asked: argparse.Namespace) -> list[Path]:
    folder = asked.folder / "folder"
    for label in sorted(path for path in asked.source.iterdir() if path.is_dir()):
        (folder / label.name).mkdir(parents=True)
        for picture in sorted(label.iterdir())[: asked.most or None]:
            shutil.copy(picture, folder / label.name)
    pictures = pictures_of(folder)
    table = asked.folder / "table.csv"
    table.write_text(
        "path,label\n" + "".join(f"folder/{label}/{name},{label}\n" for name, _, label in pictures)
    )
    write_hub(asked.folder / "hub/data/train-00000-of-00001.parquet", pictures, rows=100)
    return [
        folder,
        write_zip(asked.folder / "zipped.zip", pictures),
        write_tar(asked.folder / "tarred.tar", [(f"{label}/{name}", data) for name, data, label in pictures]),
        write_webdataset(asked.folder / "samples", pictures, tars=4),
        asked.folder / "hub",
        table,
    ]
