"""`extract` with several networks: one reading of each file, and in each space what it would hold alone."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cli
from cache.errors import UserError
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract_all, several
from extract.commands.summary import Summary
from extract.embedding import extractor, file_reader
from extract.embedding.progress import Progress
from extract.engines.conversion import Unconvertible
from extract.engines.network_cache import Network
from extract.pictures import decoding, look
from extract.settings import BackboneOptions, Decoding, Options
from tests.extract.counting import make_pictures

SIZES = {"mobilenet": 32, "mobilenet_v2": 40, "efficientnet_lite0": 40}
NAMES = list(SIZES)


class Own:
    """An engine for each network: its rows are mean colours, and its number beside them."""

    name, device, batch_size, lanes = "litert", "cpu", 2, 2

    def __init__(self, backbone: Backbone) -> None:
        self.number, self.size, self.pictures = NAMES.index(backbone.name), backbone.input_size, 0
        self.network = network(backbone)

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        assert pixels.shape[1:] == (self.size, self.size, 3)
        self.pictures += len(pixels)
        colour = pixels.mean(axis=(1, 2), dtype=np.float32)
        return np.hstack([colour, np.full((len(pixels), 1 + self.number), self.number, np.float32)])


def network(backbone: Backbone) -> Network:
    return Network(backbone.name.encode().hex().ljust(64, "0"), 4 + NAMES.index(backbone.name), 0)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[str, Own]:
    made: dict[str, Own] = {}

    def start(name: str, backbone: Backbone, *_: object) -> Own:
        return made.setdefault(backbone.name, Own(backbone))

    monkeypatch.setattr(extractor, "learn_network", lambda backbone, *_: (network(backbone), None))
    monkeypatch.setattr(extractor, "open_engine", start)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine small pictures, a large photograph, the first of them again, and a file that is no picture."""
    pictures = make_pictures(tmp_path / "pictures", {"cat": 5, "dog": 4})
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    Image.fromarray(noise).save(pictures / "dog" / "photograph.jpg")
    shutil.copy(pictures / "cat" / "0.png", pictures / "dog" / "again.png")
    (pictures / "cat" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return pictures


def run(folder: Path, *names: str, where: str = "workspace", **options) -> list[Summary]:  # type: ignore[no-untyped-def]
    progress = options.pop("progress", None)
    backbones = [Backbone.of(name, "none", SIZES[name], "avg") for name in names]
    workspace = Workspace(folder.parent / where)
    return extract_all(workspace, folder, backbones, Decoding(), Options(**options), progress=progress)


def count_work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counts: Counter[str] = Counter()

    def counting(module, name: str) -> None:  # type: ignore[no-untyped-def]
        real = getattr(module, name)

        def call(*words):  # type: ignore[no-untyped-def]
            counts[name] += 1
            return real(*words)

        monkeypatch.setattr(module, name, call)

    counting(file_reader, "opened")
    counting(decoding, "cost")  # asked for each time that pixels are loaded
    counting(look, "square")
    return counts


def rows(folder: Path, summary: Summary, where: str = "workspace") -> dict[str, list[float]]:
    data = Workspace(folder.parent / where).load(space=summary.space)
    return dict(zip(data.manifest.paths, data.embedding.tolist(), strict=True))


def test_files_are_read_and_decoded_once_and_rows_are_those_of_each_network_alone(
    folder: Path, engines: dict[str, Own], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    together = run(folder, *NAMES)
    assert counts["opened"] == 12
    assert counts["cost"] == 10 + 1  # the photograph at a half for 32 pixels, and whole for 40
    assert counts["square"] == 10 * 2  # 32 and 40 pixels; the copy needs none
    assert [engines[name].pictures for name in NAMES] == [10, 10, 10]
    for name, summary in zip(NAMES, together, strict=True):
        found = summary.files, summary.embedded, summary.cached, summary.rejected
        assert found == (12, 10, 1, 1) and summary.backbone == name
        assert [reject.path for reject in summary.rejects] == ["cat/bad.png"]
        (alone,) = run(folder, name, where=f"alone {name}")
        assert alone.space == summary.space
        assert rows(folder, summary) == rows(folder, alone, f"alone {name}")
        assert thumbnails(folder, "workspace") >= thumbnails(folder, f"alone {name}")


def thumbnails(folder: Path, where: str) -> set[tuple[str, bytes, bytes]]:
    found = set()
    for path in (folder.parent / where / "thumbnails").iterdir():
        store = next(s for s in Workspace(folder.parent / where).stores() if s.folder == path)
        for shard in store.verified():
            keys = np.frombuffer(shard.keys.tobytes(), np.uint8).reshape(-1, 32)
            rows = zip(keys, store.gather(keys), strict=True)
            found |= {(path.name, key.tobytes(), row.tobytes()) for key, row in rows}
    assert found
    return found


def test_what_some_spaces_have_is_computed_for_the_others_only(
    folder: Path, engines: dict[str, Own], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, NAMES[0])
    for path in list((folder / "cat").glob("[012].png")):
        path.rename(folder.parent / path.name)
    run(folder, NAMES[1])
    for path in folder.parent.glob("?.png"):
        path.rename(folder / "cat" / path.name)
    before = {name: engine.pictures for name, engine in engines.items()}
    counts = count_work(monkeypatch)
    done = run(folder, *NAMES)
    # The first picture has a row in the second space: its copy was there.
    assert [(s.embedded, s.cached, s.rejected) for s in done] == [(0, 11, 1), (2, 9, 1), (10, 1, 1)]
    assert [engines[name].pictures - before.get(name, 0) for name in NAMES] == [0, 2, 10]
    assert counts["square"] == 10  # of 40 pixels for both
    counts.clear()
    assert [(s.embedded, s.cached) for s in run(folder, *NAMES)] == [(0, 11)] * 3
    assert not counts


def test_all_are_remembered_side_by_side(folder: Path, engines: dict[str, Own]) -> None:
    done = run(folder, *NAMES)
    workspace = Workspace(folder.parent / "workspace")
    assert workspace.state()["space"] == ",".join(summary.space for summary in done)
    data = workspace.load()
    assert [space.backbone for space in data.spaces] == NAMES
    assert data.embedding.shape == (11, 4 + 5 + 6)


def test_ctrl_c_seals_what_every_space_has(folder: Path, engines: dict[str, Own]) -> None:
    def interrupt(done: int, rejected: int) -> None:
        if all(name in engines and engines[name].pictures >= 4 for name in NAMES):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, *NAMES, workers=1, progress=Progress(advance=interrupt))
    done = [engines[name].pictures for name in NAMES]
    assert all(4 <= each for each in done)
    again = run(folder, *NAMES)
    assert [s.embedded for s in again] == [10 - each for each in done]
    assert [s.embedded + s.cached for s in again] == [11] * 3


def test_views_of_several_networks(
    folder: Path, engines: dict[str, Own], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = str(folder.parent / "workspace")
    words = ["extract", str(folder), "--workspace", workspace, "--weights", "none", "--input-size", "40"]
    words += ["--backbone", "mobilenet_v2,efficientnet_lite0", "--views", "2", "--pooling", "avg", "--json"]
    assert cli.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert [each["backbone"] for each in result["networks"]] == ["mobilenet_v2", "efficientnet_lite0"]
    for each in result["networks"]:
        assert (each["embedded"], each["cached"], each["rejected"]) == (10, 1, 1)
        assert each["views"]["rows"] == each["views"]["embedded"] + each["views"]["cached"] == 22
    assert len(Workspace(Path(workspace)).spaces()) == 2 * 3
    assert result["space"] == result["networks"][0]["space"] and result["files"] == 12


def test_each_network_has_its_summary(
    folder: Path, engines: dict[str, Own], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "extract",
        str(folder),
        "--workspace",
        str(folder.parent / "w"),
        "--weights",
        "none",
        "--input-size",
        "40",
        "--pooling",
        "avg",
    ]
    assert cli.main([*words, "--backbone", "mobilenet_v2,efficientnet_lite0"]) == 0
    out, err = capsys.readouterr()
    assert out.count("pictures: 12 files = 10 embedded + 1 cached + 1 rejected") == 2
    assert "(mobilenet_v2 on litert)" in out and "(efficientnet_lite0 on litert)" in out
    assert err.count("cat/bad.png") == 1
    assert cli.main([*words, "--backbone", "mobilenet_v2", "--json"]) == 0
    assert "networks" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("named", "weights", "told"),
    [
        ("mobilenet_v2,mobilnet", "none", "received 'mobilnet'"),
        ("mobilenet_v2,", "none", "received ''"),
        ("mobilenet_v2,auto", "none", "Expected --backbone auto alone, received 'mobilenet_v2,auto'"),
        ("mobilenet_v2,mobilenet", __file__, "Expected --weights pretrained or none with several backbones"),
    ],
)
def test_wrong_names_are_refused(named: str, weights: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        several(BackboneOptions(named, weights))


def test_a_path_may_have_a_comma(tmp_path: Path) -> None:
    path = tmp_path / "one, two.keras"
    path.write_bytes(b"no model")
    with pytest.raises(UserError, match=r"one, two\.keras"):
        several(BackboneOptions(f"keras:{path}"))


def test_one_network_twice_is_refused_before_anything_is_read(
    folder: Path, engines: dict[str, Own], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    with pytest.raises(UserError, match="received mobilenet_v2 and mobilenet_v2, which are the same"):
        run(folder, "mobilenet", "mobilenet_v2", "mobilenet_v2")
    assert not counts and not engines


def test_one_network_that_litert_refuses_ends_it_before_anything_is_read(
    folder: Path, engines: dict[str, Own], monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn(backbone: Backbone, *_: object) -> tuple[Network, None]:
        if backbone.name == "mobilenet_v2":
            raise Unconvertible(backbone.name, "an operation it does not know")
        return network(backbone), None

    monkeypatch.setattr(extractor, "learn_network", learn)
    counts = count_work(monkeypatch)
    with pytest.raises(UserError, match=r"convert mobilenet_v2 for LiteRT.*Pass --engine keras"):
        run(folder, *NAMES, engine="litert")
    assert not counts and not engines
