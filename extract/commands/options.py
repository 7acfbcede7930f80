"""What `extract`, `manifest` and `backbones` may be told, beside the settings that they share with others."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from cyclopts import Parameter

from cache.commands.options import FLAT, GENERAL, VIEWS, Common, File
from extract.pictures.policies import Views
from extract.settings import BackboneOptions, Columns, Decoding, Options, Ray

DataName = Annotated[str | None, Parameter(name="--name", metavar="NAME")]
DataDir = Annotated[
    File | None,
    Parameter(
        name="--data-dir",
        metavar="FOLDER",
        help="of TensorFlow Datasets (default: TFDS_DATA_DIR, or ~/tensorflow_datasets)",
    ),
]
Strict = Annotated[bool, Parameter(group=GENERAL, help="exit code 3 if a picture was rejected")]


@dataclass(frozen=True)
class ExtractOptions(Common):
    """What `extract` may be told."""

    source: File
    """folder with one folder per class, or with train/validation/test folders of them; or a table (.csv, .tsv,
    .parquet), COCO's .json, Parquet or WebDataset's .tar files with the pictures, one or a folder of them, an archive
    (.zip, .tar, .tgz, ...) or tfds:NAME; folders may lie at an address, as s3://bucket/flowers"""
    _: KW_ONLY
    name: DataName = None
    """name of the data set (default: the source's)"""
    data_dir: DataDir = None
    columns: Annotated[Columns, FLAT] = Columns()
    backbone: Annotated[BackboneOptions, FLAT] = BackboneOptions()
    decoding: Annotated[Decoding, FLAT] = Decoding()
    views: Annotated[Views, FLAT, Parameter(group=VIEWS)] = Views()
    options: Annotated[Options, FLAT] = Options()
    cluster: Annotated[Ray, FLAT] = Ray()
    strict: Strict = False


@dataclass(frozen=True)
class ManifestOptions(Common):
    """What `manifest` may be told."""

    source: File
    """what `extract` takes: a folder, a table, an archive or tfds:NAME"""
    _: KW_ONLY
    name: DataName = None
    """name of the data set (default: the source's)"""
    data_dir: DataDir = None
    columns: Annotated[Columns, FLAT] = Columns()
    out: Annotated[File | None, Parameter(metavar="FILE")] = None
    """write path, label, split and key as a table: .csv, .tsv or .parquet"""
    force: bool = False
    """replace an existing table"""


@dataclass(frozen=True, kw_only=True)
class BackbonesOptions(Common):
    """What `backbones` may be told."""
