"""Thumbnails go with the rows: through parts, merges, damage, other spaces and caches of earlier versions."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.commands import gc, verify
from cache.commands.options import GcOptions, VerifyOptions
from cache.dataset import Embedded
from cache.errors import UserError
from cache.storage.store import Store
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.commands.extract import Summary, extract
from extract.embedding.progress import Progress
from extract.embedding.thumbnails import complete, thumbnails_of
from extract.pictures.thumbnail import SIDE, thumbnail
from extract.settings import RESIZERS, Decoding, Options
from tests.extract.counting import CountingEngine


def run(folder: Path, resize: str = "crop", progress: Progress | None = None, **options: object) -> Summary:
    backbone, workspace = Backbone.of("mobilenet_v2", "none", 32), Workspace(folder.parent / "w")
    given = Options(**options)  # type: ignore[arg-type]
    return extract(workspace, folder, backbone, Decoding(resize), given, progress=progress)


def kept(folder: Path) -> tuple[Embedded, Store]:
    workspace = Workspace(folder.parent / "w")
    data = workspace.load()
    return data, thumbnails_of(workspace, data.space)


def test_each_row_has_the_thumbnail_of_its_whole_picture(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    data, store = kept(folder)
    found = store.gather(data.manifest.key)
    assert found.shape == (9, SIDE, SIDE) and len(store.shards()) == 1
    for path, pixels in zip(data.manifest.paths, found, strict=True):
        with Image.open(folder / path) as image:
            whole = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR).convert("L")
        assert np.abs(np.asarray(whole, int) - pixels).max() <= 1


@pytest.mark.parametrize("resizer", RESIZERS)
def test_a_thumbnail_is_turned_as_its_picture_is(resizer: str) -> None:
    image = Image.effect_noise((90, 60), 50)
    turned = image.transpose(Image.Transpose.ROTATE_90)
    turn = Image.Transpose.ROTATE_90
    first = thumbnail(image, image.size, turn, resizer)
    second = thumbnail(turned, turned.size, None, resizer)
    assert np.abs(first.astype(int) - second).max() <= 2  # rounded twice, in another order


def test_parts_merge_and_survive_the_pictures(folder: Path, engine: CountingEngine) -> None:
    for part in (1, 2, 3):
        run(folder, shard=(part, 3))
    run(folder)
    data, store = kept(folder)
    assert len(store.shards()) == 3
    before = store.gather(data.manifest.key)
    gc.run(GcOptions(workspace=str(folder.parent / "w")), print)
    shutil.rmtree(folder)
    data, store = kept(folder)
    assert len(store.shards()) == 1 and (store.gather(data.manifest.key) == before).all()


def test_spaces_of_other_decoding_have_their_own(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    first = kept(folder)[1]
    run(folder, dtype="float16")
    assert kept(folder)[1].folder == first.folder and len(first.shards()) == 1
    run(folder, "squash")
    assert kept(folder)[1].folder != first.folder and len(kept(folder)[1]) == 9


def test_damage_is_noticed_and_mended(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    data, store = kept(folder)
    before, (path,) = store.gather(data.manifest.key), store.paths()
    damaged = bytearray(path.read_bytes())
    damaged[-100] ^= 1
    path.chmod(0o644)
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match="extract computes its rows again"):
        found = verify.run(VerifyOptions(workspace=str(folder.parent / "w")), print)
    assert len(found.damaged) == 1 and found.spaces == 1 and found.rows == 9
    told: list[int] = []
    run(folder, progress=Progress(told.append, lambda done, rejected: told.append(done)))
    assert told == [0, 9, 9] and engine.pictures == 9
    data, store = kept(folder)
    assert (store.gather(data.manifest.key) == before).all()


def test_files_that_changed_since_have_none(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    data, store = kept(folder)
    shutil.rmtree(store.folder)
    changed, gone = folder / "cat/0.png", folder / "dog/1.png"
    changed.write_bytes((folder / "cat/1.png").read_bytes())
    gone.unlink()
    workspace = Workspace(folder.parent / "w")
    complete(workspace, data.space, data.manifest, 10**6, Progress())
    there = thumbnails_of(workspace, data.space).contains(data.manifest.key)
    lost = [path for path, known in zip(data.manifest.paths, there, strict=True) if not known]
    assert lost == ["cat/0.png", "dog/1.png"]


def test_no_row_is_sealed_without_its_thumbnail(
    folder: Path, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Store.add

    def full(self: Store, keys: np.ndarray, rows: np.ndarray) -> Path:
        if self.space.backbone == "thumbnail":
            raise UserError("no space left")
        return add(self, keys, rows)

    monkeypatch.setattr(Store, "add", full)
    with pytest.raises(UserError, match="no space left"):
        run(folder)
    monkeypatch.undo()
    assert sum(map(len, Workspace(folder.parent / "w").spaces())) == 0


def test_force_makes_them_again(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    run(folder, force=True)
    data, store = kept(folder)
    assert len(store) == 18 and store.contains(data.manifest.key).all()
