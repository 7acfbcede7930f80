"""Data sets of TensorFlow Datasets: each picture's own bytes, written as a folder and a table of labels."""

import csv
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock
from urllib.parse import quote

from cache.errors import UserError
from cache.storage.files import write_error, write_file
from extract.sources.scan import SPLIT_NAMES
from extract.sources.unpacked import TABLE

PREFIX = "tfds:"
RETRIES = (
    4  # of a download, within seven seconds; the package's own ten take minutes where there is no network
)
_SPEC = re.compile(r"(\w+)(?:/([\w.+-]+))?(?::([\d.*]+))?")
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp"}


def is_tfds(source: Path) -> bool:
    """Tell whether a source names a data set of TensorFlow Datasets."""
    return str(source).startswith(PREFIX)


def default_name(source: Path) -> str:
    """Name the data set: mnist for `tfds:mnist:3.0.1`, imagenette-160px for `tfds:imagenette/160px`."""
    name, config, _ = _parse(source)
    return f"{name}-{config}" if config else name


def _parse(source: Path) -> tuple[str, str | None, str | None]:
    found = _SPEC.fullmatch(str(source).removeprefix(PREFIX))
    if not found:
        raise UserError(
            f"Expected a data set as {PREFIX}NAME, {PREFIX}NAME/CONFIG or {PREFIX}NAME:VERSION, such as "
            f"{PREFIX}tf_flowers:3.0.1; received {str(source)!r}."
        )
    return found[1], found[2], found[3]


def write_pictures(
    source: Path, data_dir: str | None, folder: Path, note: Callable[[str], None]
) -> tuple[str, int]:
    """Write the pictures of a data set, as they are stored there, and a table of path, label and split.

    Parameters
    ----------
    source : Path
        `tfds:NAME`, with `/CONFIG` and `:VERSION` if need be.
    data_dir : str or None
        Where TensorFlow Datasets keeps its data; None: TFDS_DATA_DIR, or ~/tensorflow_datasets.
    folder : Path
        Exists and is empty.
    note : callable (line of text)

    Returns
    -------
    full_name : str
        With configuration and version.
    pictures : int

    Raises
    ------
    UserError
        If the package is missing, the data set is unknown, cannot be had, or is not one of labelled pictures.
    """
    tfds = _package()
    builder = _builder(tfds, source, data_dir)
    image, label = _features(tfds, source, builder.info)
    _prepare(source, builder, note)
    fields = {image: True, label: True}
    decoders = tfds.decode.PartialDecoding(fields, decoders={image: tfds.decode.SkipDecoding()})
    # One file after the other: a second run, or another machine, numbers the pictures alike.
    reading = tfds.ReadConfig(interleave_cycle_length=1)
    names = builder.info.features[label].names
    splits = [name for name, info in builder.info.splits.items() if info.num_examples]
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["path", "label", "split"])
    count = 0
    for split in splits:
        examples = builder.as_dataset(
            split=split, decoders=decoders, shuffle_files=False, read_config=reading
        )
        part = SPLIT_NAMES.get(split.lower(), "") if len(splits) > 1 else ""  # a single part divides nothing
        for number, example in enumerate(examples.as_numpy_iterator()):
            data, code = example[image], int(example[label])
            name = names[code] if code >= 0 else ""
            path = f"{quote(split, safe='')}/{_folder_name(name)}/{number:07d}{_suffix(data)}"
            _write(folder / path, data)
            table.writerow([path, name, part])
            count += 1
    write_file(folder / TABLE, text.getvalue().encode())
    return builder.info.full_name, count


def _package() -> ModuleType:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"Expected the package tensorflow-datasets, but: {error}. "
            "Run `pip install 'coldframe[tfds]'`, or unpack the data set into class folders by other means."
        ) from error
    return tfds


def _builder(tfds: ModuleType, source: Path, data_dir: str | None) -> Any:
    name, config, version = _parse(source)
    spec = name + (f"/{config}" if config else "") + (f":{version}" if version else "")
    try:
        return tfds.builder(spec, data_dir=data_dir)
    except Exception as error:  # whatever the code of a data set raises, the user can only choose another
        where = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        raise UserError(
            f"Expected a data set, configuration and version that TensorFlow Datasets knows or that is in {where}, "
            f"received {str(source)!r}: {_one_line(error)}"
        ) from error


def _features(tfds: ModuleType, source: Path, info: Any) -> tuple[str, str]:
    """Name the features that hold the picture and its class: what the data set calls input and target, or the only."""
    features = dict(info.features) if isinstance(info.features, tfds.features.FeaturesDict) else {}
    keys = info.supervised_keys or ()
    chosen = []
    for place, kind in enumerate((tfds.features.Image, tfds.features.ClassLabel)):
        able = [name for name, feature in features.items() if isinstance(feature, kind)]
        wanted = [key for key in keys[place : place + 1] if key in able]
        chosen.append((wanted or able) if len(wanted or able) == 1 else [])
    if not all(chosen):
        listed = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
        raise UserError(
            f"Expected a data set with one picture (Image) and one class (ClassLabel) an example, received "
            f"{str(source)!r} with {listed or type(info.features).__name__}. Choose another one, or write its "
            "pictures into class folders."
        )
    return chosen[0][0], chosen[1][0]


def _prepare(source: Path, builder: Any, note: Callable[[str], None]) -> None:
    if builder.is_prepared():
        return
    from tensorflow_datasets.core.download import downloader

    note(f"{source} is not in {builder.data_dir}: it is downloaded and prepared, once")
    try:
        with mock.patch.object(downloader, "MAX_RETRIES", RETRIES, create=True):
            builder.download_and_prepare()
    except Exception as error:  # whatever the code of a data set raises
        name = str(source).removeprefix(PREFIX)
        raise UserError(
            f"Expected {source} in {builder.data_dir}, or a network to download it from, but: {type(error).__name__}: "
            f"{_one_line(error)}. Where there is a network, run `tfds build {name}`; then copy "
            "its folder here and pass the folder above it as --data-dir."
        ) from error


def _one_line(error: Exception) -> str:
    """What an error says, less the list of all data sets there are."""
    return re.sub(r"\s+", " ", str(error)).partition(" Available datasets:")[0][:300].rstrip(".")


def _folder_name(name: str) -> str:
    """A class as a folder's name that every system takes; the table holds the class as it is."""
    quoted = quote(name, safe=" ()'&,+=@")[:100]
    return f"_{quoted}" if quoted[:1] in ("", ".", "_") else quoted


def _suffix(data: bytes) -> str:
    return next((end for start, end in _SUFFIXES.items() if data.startswith(start)), ".img")


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise write_error(path, error) from error
