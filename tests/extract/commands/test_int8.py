"""`extract --precision int8` from pictures to rows, with a small network of the user's own, which nothing ships for."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.errors import UserError
from cache.workspace import Workspace
from extract import ImageEmbedder
from extract.backbones.backbone import Backbone
from extract.commands.extract import Summary, extract, extract_views
from extract.commands.recompute import recompute
from extract.embedding.progress import Progress
from extract.engines import choice, network_cache
from extract.engines.choice import choose_engine, learn_network
from extract.engines.conversion import Unconvertible
from extract.pictures.policies import Views
from extract.settings import Decoding, Options
from tests.extract.engines.tiny import pictures, saved


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Networks are kept for this test."""
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))


def write(folder: Path, count: int, seed: int = 0) -> Path:
    for row, picture in enumerate(pictures(count, seed)):
        (folder / str(row % 2)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / str(row % 2) / f"{seed}-{row}.png")
    return folder


def run(folder: Path, backbone: Backbone) -> tuple[Workspace, Summary, str]:
    workspace, notes = Workspace(folder.parent / "workspace"), list[str]()
    done = extract(workspace, folder, backbone, Decoding(), Options(), progress=Progress(note=notes.append))
    return workspace, done, "\n".join(notes)


def test_a_workspace_alone_makes_its_network_again(tmp_path: Path) -> None:
    name = saved(tmp_path)
    backbone = Backbone.of(name, precision="int8")
    folder = write(tmp_path / "pictures", 30)
    workspace, done, told = run(folder, backbone)
    store = workspace.store_by_id(done.space)
    assert (
        store.space.precision.startswith("int8 calibrated ") and "calibrated on 30 of these pictures" in told
    )
    float32, _ = learn_network(Backbone.of(name), "litert")
    assert store.space.weights != float32.weights
    # The user's cache of networks is gone, and more pictures came: the very same network is made again.
    shutil.rmtree(network_cache.folder())
    again = recompute(workspace, 10)
    assert (again.recomputed, again.differing, again.largest_difference) == (10, 0, 0)
    shutil.rmtree(network_cache.folder())
    write(folder, 4, seed=1)
    _, more, _ = run(folder, backbone)
    assert (more.space, more.embedded, more.cached) == (done.space, 4, 30)
    # Views have spaces of their own with the same calibration, and a notebook finds it, too.
    options = Options()
    viewed = extract_views(workspace, more, Views.of(1, None), Decoding(), options, Progress())
    assert viewed.embedded == 34 and viewed.stores[0].space.precision == store.space.precision
    embedder = ImageEmbedder(backbone=name, precision="int8", workspace=workspace.root)
    paths = sorted(str(path) for path in folder.rglob("*.png"))
    rows = embedder.fit_transform(paths)
    assert embedder.space_ == done.space and rows.shape == (34, 24)


def test_a_network_that_nothing_ships_for_needs_a_data_set_first(tmp_path: Path) -> None:
    embedder = ImageEmbedder(backbone=saved(tmp_path), precision="int8", workspace=tmp_path / "workspace")
    with pytest.raises(UserError, match=r"a calibration for .* in int8.*extract FOLDER/ --precision int8"):
        embedder.fit(["a.png"])


def test_who_computes_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    notes, backbone = list[str](), Backbone.of(precision="int8")
    monkeypatch.setattr(choice, "gpu_seen", lambda: False)
    assert choose_engine("auto", backbone, notes.append) == choose_engine("litert", backbone) == "litert"
    assert not notes
    with pytest.raises(UserError, match="received keras, which computes in floats only"):
        choose_engine("keras", backbone)
    monkeypatch.setattr(choice, "gpu_seen", lambda: True)
    assert choose_engine("auto", backbone, notes.append) == "litert" and "the GPU stays idle" in notes[0]


@pytest.mark.parametrize(("lasting", "advice"), [(True, "Pass"), (False, "Try again, or pass")])
def test_what_litert_refuses_is_not_handed_to_keras(
    lasting: bool, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(backbone: Backbone) -> None:
        raise Unconvertible(backbone.name, "no such operation", lasting=lasting, precision="int8")

    monkeypatch.setattr(choice, "convert", fail)
    with pytest.raises(UserError, match=rf"no such operation\. {advice} --precision float32"):
        learn_network(Backbone.of(precision="int8"), "litert", fall_back=True)


def test_a_network_without_convolutions_is_refused(tmp_path: Path) -> None:
    import keras
    from keras import layers

    x = layers.Activation("tanh")(entry := keras.Input((24, 24, 3)))
    keras.Model(entry, layers.GlobalMaxPooling2D()(x), name="none").save(tmp_path / "none.keras")
    backbone = Backbone.of(f"keras:{tmp_path / 'none.keras'}", precision="int8")
    with pytest.raises(UserError, match=r"it has no convolution\. Pass --precision float32"):
        run(write(tmp_path / "pictures", 20), backbone)


def test_a_saved_model_computes_as_it_was_saved(tmp_path: Path) -> None:
    from tests.extract.engines.tiny import tiny_network

    tiny_network().export(tmp_path / "saved", verbose=False)
    with pytest.raises(UserError, match="Expected --precision float32 for savedmodel:"):
        Backbone.of(f"savedmodel:{tmp_path / 'saved'}", precision="int8")


def test_a_precision_there_is_not() -> None:
    with pytest.raises(UserError, match="float32, float16, int8; received 'int4'"):
        Backbone.of(precision="int4")
    with pytest.raises(UserError, match="int8"):
        ImageEmbedder(precision="int4").fit(["a.png"])


@pytest.mark.slow
def test_the_bundled_networks(few_flowers: Path) -> None:
    for name in ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"):
        for pooling in ("avg", "stages"):
            workspace, done, told = run(few_flowers, Backbone.of(name, pooling=pooling, precision="int8"))
            agreed = float(told.partition("agree with float32 by ")[2].split()[0])
            assert agreed > 0.98 and "calibrated on photographs" in told
            assert workspace.store_by_id(done.space).space.precision == "int8"
    spaces = [store.space for store in workspace.spaces()]
    assert len({space.weights for space in spaces}) == 3  # stages are of the same network
    assert np.isfinite(workspace.load().embedding).all()
