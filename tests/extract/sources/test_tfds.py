"""Data sets of TensorFlow Datasets, built here in a temporary folder: no network."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cache.errors import UserError
from cache.manifest import SPLITS
from cache.workspace import Workspace
from extract.commands.manifest import survey
from extract.embedding.progress import Progress
from extract.sources.source import open_source
from extract.sources.tfds import default_name

pytest.importorskip("tensorflow_datasets")
NAMES = ["rose", "a/b", ".dot, and comma", "_empty"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{i}.jpg" for i in range(12)]
    for i, path in enumerate(paths):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(path, "JPEG", quality=30 + i)
    return paths


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path]) -> str:
    """Two prepared data sets, of one split and of four; several shards each."""
    folder = str(tmp_path_factory.mktemp("tfds"))
    _builder("tiny_flowers", {"train": pictures}, folder).download_and_prepare()
    parts = {
        "train": pictures[:6],
        "validation": pictures[6:8],
        "test": pictures[8:10],
        "extra": pictures[10:],
    }
    _builder("tiny_parts", parts, folder, unlabelled="extra").download_and_prepare()
    return folder


def _builder(
    name: str, splits: dict[str, list[Path]], folder: str, unlabelled: str = "", **features: Any
) -> Any:
    import tensorflow_datasets as tfds

    kinds = features or {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=NAMES)}

    def info(self: Any) -> Any:
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(kinds))

    def split_generators(self: Any, manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in splits}

    def generate_examples(self: Any, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for i, path in enumerate(splits[split]):
            yield i, {"image": str(path), "label": -1 if split == unlabelled else i % 3}

    members = {
        "VERSION": tfds.core.Version("1.0.0"),
        "_info": info,
        "_split_generators": split_generators,
        "_generate_examples": generate_examples,
        "__module__": __name__,
    }
    title = "".join(word.title() for word in name.split("_"))
    kind: Callable[..., Any] = type(title, (tfds.core.GeneratorBasedBuilder,), members)
    return kind(data_dir=folder)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def test_the_pictures_are_the_very_bytes(workspace: Workspace, data_dir: str, pictures: list[Path]) -> None:
    found = survey(workspace, Path("tfds:tiny_flowers"), None, Progress(), data_dir)
    manifest = found.manifest
    assert found.dataset == "tiny_flowers" and not found.rejects and len(manifest) == 12
    names = [manifest.classes[label] for label in manifest.label]
    kept = {
        Path(manifest.root, path).read_bytes(): name for path, name in zip(manifest.paths, names, strict=True)
    }
    assert kept == {path.read_bytes(): NAMES[i % 3] for i, path in enumerate(pictures)}
    assert not manifest.split.any()  # a single part divides nothing
    assert all(path.endswith(".jpg") for path in manifest.paths)
    assert {path.split("/")[1] for path in manifest.paths} == {"rose", "a%2Fb", "_.dot, and comma"}


def test_splits_and_missing_labels(workspace: Workspace, data_dir: str) -> None:
    manifest = open_source(workspace, Path("tfds:tiny_parts:1.0.0"), data_dir=data_dir).scan().manifest
    parts = [SPLITS[code] for code in manifest.split]
    assert [parts.count(name) for name in ("train", "val", "test", "")] == [6, 2, 2, 2]
    assert [manifest.label[i] for i, part in enumerate(parts) if not part] == [-1, -1]


def test_a_second_run_needs_nothing(
    workspace: Workspace, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_source(workspace, Path("tfds:tiny_flowers"), data_dir=data_dir)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert open_source(workspace, Path("tfds:tiny_flowers"), data_dir=data_dir) == first
    assert open_source(workspace, Path("tfds:tiny_flowers")) == first
    with pytest.raises(
        UserError, match=r"tensorflow-datasets.*coldframe\[tfds\]"
    ):  # another place is another set
        open_source(workspace, Path("tfds:tiny_flowers"), data_dir=str(workspace.root))
    assert first.path.exists()


def test_the_environment_names_the_folder(
    workspace: Workspace, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow_datasets as tfds

    monkeypatch.setattr(
        tfds.core.constants, "DATA_DIR", data_dir
    )  # what it made of TFDS_DATA_DIR when imported
    monkeypatch.setenv("TFDS_DATA_DIR", data_dir)
    assert len(open_source(workspace, Path("tfds:tiny_flowers")).scan().manifest) == 12


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tfds:", "Expected a data set as tfds:NAME"),
        ("tfds:huggingface:mnist", "Expected a data set as tfds:NAME"),
        ("tfds:../x", "Expected a data set as tfds:NAME"),
        (
            "tfds:no_such_set",
            "TensorFlow Datasets knows .*: Dataset no_such_set not found",
        ),
        ("tfds:tiny_flowers:9.9.9", "received 'tfds:tiny_flowers:9.9.9'.*9.9.9"),
        ("tfds:tiny_flowers/blue", "received 'tfds:tiny_flowers/blue'"),
    ],
)
def test_what_is_not_known_says_so(workspace: Workspace, data_dir: str, spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        open_source(workspace, Path(spec), data_dir=data_dir)
    assert len(str(error.value)) < 700 and not list(workspace.root.glob("sources/*"))


def test_without_a_network_the_way_out_is_told(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow_datasets as tfds

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(tfds.download.DownloadManager, "download", offline)
    with pytest.raises(UserError, match=r"network.*Name or service.*`tfds build tf_flowers`.*--data-dir"):
        open_source(workspace, Path("tfds:tf_flowers"), data_dir=str(tmp_path / "empty"))


def test_without_a_network_a_download_is_not_tried_for_minutes(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib3.connection import HTTPConnection
    from urllib3.exceptions import NewConnectionError
    from urllib3.util.retry import Retry

    tried, waited = [], []

    def offline(connection: HTTPConnection) -> None:
        tried.append(connection.host)
        raise NewConnectionError(connection, "no network")

    monkeypatch.setattr(HTTPConnection, "connect", offline)
    monkeypatch.setattr(Retry, "sleep", lambda retry, response=None: waited.append(retry.get_backoff_time()))
    with pytest.raises(UserError, match=r"no network.*`tfds build tf_flowers`"):
        open_source(workspace, Path("tfds:tf_flowers"), data_dir=str(tmp_path / "empty"))
    assert len(tried) == 5 and sum(waited) < 10


def test_a_set_without_labelled_pictures_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    image, label = tfds.features.Image(), tfds.features.ClassLabel(names=NAMES)
    _builder("two_images", {}, str(tmp_path), image=image, other=tfds.features.Image(), label=label)
    _builder("no_label", {}, str(tmp_path), image=image, text=tfds.features.Text())
    for name, listed in (("two_images", r"image \(Image\), other \(Image\)"), ("no_label", r"text \(Text\)")):
        with pytest.raises(UserError, match=rf"one picture \(Image\) and one class .*{listed}"):
            open_source(workspace, Path(f"tfds:{name}"), data_dir=str(tmp_path))


def test_names_of_data_sets() -> None:
    assert default_name(Path("tfds:imagenette/160px:1.0.0")) == "imagenette-160px"
    assert default_name(Path("tfds:mnist:3.*.*")) == "mnist"
