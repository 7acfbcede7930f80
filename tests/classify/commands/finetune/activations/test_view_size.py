"""Pictures that train may be smaller than those that are answered for: which, and what trains of them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import keras
import numpy as np
import pytest
from keras import layers

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.finetune.activations.supply import choose_supply
from classify.commands.finetune.activations.view_size import with_view_size
from classify.commands.finetune.network.border import find_border
from classify.commands.finetune.network.top import build_top
from classify.commands.finetune.result import Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start, begin
from classify.models.linear import LinearHead
from classify.runs.head_file import load_head
from classify.training.loop import logits_of
from classify.training.settings import Settings
from extract.backbones.backbone import Backbone
from extract.backbones.network import build_backbone, build_embedder, network_of
from extract.backbones.preprocessing import preprocess
from extract.embedding.progress import Progress
from extract.pictures.augmentation import View
from extract.pictures.files import load_row
from extract.settings import Decoding, Options
from tests.classify.commands.finetune.conftest import SIZE
from tests.classify.commands.finetune.network.test_top import BACKBONE, some_head

SMALLER = 48


def lite0(size: int, *, top: int | None = 50) -> tuple[Tuned, LinearHead]:
    backbone = Backbone.of("efficientnet_lite0", input_size=size, pooling="avg")
    network = build_backbone(backbone)
    return tuned_of(network, backbone, top=top, everything=top is None), some_head()


def tuned_of(network: keras.Model, backbone: Backbone, **asked: Any) -> Tuned:
    border = find_border(network, **asked)
    model = build_top(network, border, backbone, some_head(network.output_shape[-1]))
    return Tuned(backbone, Decoding(), network, border, model, backbone.input_size)


def asking(trials: int = 1, **asked: Any) -> Start:
    return cast(Start, SimpleNamespace(settings=Settings(**asked), trials=[None] * trials))


def session(workspace: Path, said: list[str]) -> Session:
    return Session(Workspace(workspace / ".coldframe"), say=said.append)


@pytest.mark.parametrize(
    ("size", "asked", "expected"),
    [
        (224, {}, 192),
        (128, {}, 96),
        (64, {}, 64),
        (48, {}, 48),
        (224, {"views": 0}, 224),
        (224, {"augment": "strong"}, 192),
        (224, {"augment": "tutorial-a"}, 224),  # no crops
        (224, {"larger": True}, 224),
        (224, {"trials": 5}, 224),  # folds
        (224, {"larger": True, "view_size": 160}, 160),
        (96, {"view_size": 0}, 96),
        (64, {"view_size": 32}, 32),
    ],
)
def test_size_by_default_and_as_asked(size: int, asked: dict, expected: int, tmp_path: Path) -> None:
    tuned, head = lite0(size)
    said = list[str]()
    after, viewed = with_view_size(session(tmp_path, said), asking(**asked), tuned, head)
    assert (after.view_size, viewed.backbone.input_size, said) == (expected, expected, [])
    assert after.backbone.input_size == size and after.network is tuned.network
    assert (viewed is tuned) == (after is tuned) == (expected == size)


@pytest.mark.parametrize("top", [50, None])
def test_both_sizes_go_through_the_very_weights(top: int | None, tmp_path: Path) -> None:
    tuned, head = lite0(SIZE, top=top)
    after, viewed = with_view_size(session(tmp_path, []), asking(view_size=SMALLER), tuned, head)
    for variable, same in zip(after.model.trainable_variables, tuned.model.trainable_variables, strict=True):
        assert variable is same or variable.path.startswith("logits")
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    for one, whole in ((pixels, tuned), (pixels[:, :SMALLER, :SMALLER], viewed)):
        given, prepared = one, preprocess(one.astype(np.float32), tuned.backbone.preprocessing)
        if tuned.border.layer:
            given = keras.Model(whole.network.input, whole.network.get_layer(tuned.border.layer).output)(
                prepared
            )
        expected = head.logits(np.mean(whole.network(prepared), axis=(1, 2)))
        np.testing.assert_allclose(after.model(given), expected, atol=2e-3)


@keras.saving.register_keras_serializable("test_view_size")
class Positions(layers.Layer):
    """Adds a weight for each place, as transformers do, and promises any size."""

    def build(self, shape: tuple) -> None:
        self.places = self.add_weight(shape=(1, *shape[1:]), name="places")

    def call(self, x: Any) -> Any:
        return x + self.places

    def compute_output_shape(self, shape: tuple) -> tuple:
        return shape


def flattened(x: Any) -> Any:
    return layers.Dense(6, name="dense")(layers.Flatten()(x))


def positioned(x: Any) -> Any:
    return layers.Conv2D(6, 1, name="last")(Positions()(x))


def reshaped(x: Any) -> Any:
    tokens = keras.ops.reshape(x, (-1, x.shape[1] * x.shape[2], 4))  # of how many pictures, it does not say
    return layers.Dense(6, name="dense")(tokens)


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("upper", [flattened, positioned, reshaped])
def test_a_network_of_one_size_keeps_it_and_says_so(upper: Any, everything: bool, tmp_path: Path) -> None:
    pixels = keras.Input((128, 128, 3))
    x = layers.Conv2D(4, 3, name="high")(layers.Conv2D(4, 3, name="stem")(pixels))
    keras.Model(pixels, upper(x)).save(tmp_path / "own.keras")
    backbone = Backbone.of(f"keras:{tmp_path / 'own.keras'}", pooling="avg", preprocessing="unit")
    asked = {"everything": True} if everything else {"from_layer": "high"}
    tuned, said, head = tuned_of(build_backbone(backbone), backbone, **asked), list[str](), some_head(6)
    assert with_view_size(session(tmp_path, said), asking(), tuned, head) == (tuned, tuned)
    assert len(said) == 1 and said[0].startswith("pictures of 128 pixels train, no smaller ones: ")
    with pytest.raises(UserError, match=r"--view-size that .* takes beside 128, received 96: .*always right"):
        with_view_size(session(tmp_path, said), asking(view_size=96), tuned, head)


def test_strides_that_would_see_another_part_are_noticed(tmp_path: Path) -> None:
    """How MobileNetV2 pads before a stride is a matter of the size it was built for."""
    backbone = Backbone.of("mobilenet_v2", weights="none", input_size=160, pooling="avg")
    network = build_backbone(backbone)
    network.set_weights([weight * (3 if weight.ndim == 4 else 1) for weight in network.get_weights()])
    tuned, said, head = tuned_of(network, backbone, top=50), list[str](), some_head()
    for size in (128, 96):
        after, _ = with_view_size(session(tmp_path, said), asking(view_size=size), tuned, head)
        assert after.view_size == size
    with pytest.raises(UserError, match="see another part of pictures"):
        with_view_size(session(tmp_path, said), asking(view_size=112), tuned, head)
    with pytest.raises(UserError, match="takes pictures of 32 pixels or more"):
        with_view_size(session(tmp_path, said), asking(view_size=16), tuned, head)


def test_half_precision_stays(tmp_path: Path) -> None:
    backbone, before = replace(BACKBONE, precision="float16"), keras.config.dtype_policy()
    try:
        network = network_of(build_embedder(backbone))
        tuned = tuned_of(network, BACKBONE, top=50)
        after, viewed = with_view_size(session(tmp_path, []), asking(view_size=SMALLER), tuned, some_head())
    finally:
        keras.config.set_dtype_policy(before)
    assert after.view_size == SMALLER and after.model.dtype_policy.name == "mixed_float16"
    assert after.network is network and viewed.network.compute_dtype == "float32"


def test_flatten_keeps_its_size(tmp_path: Path) -> None:
    tuned, head = lite0(128)
    tuned = replace(tuned, backbone=replace(tuned.backbone, pooling="flatten"))
    said = list[str]()
    assert with_view_size(session(tmp_path, said), asking(), tuned, head) == (tuned, tuned)
    assert "one size" in said[0]


@pytest.mark.parametrize("max_cache_gb", [20.0, 0.0])
def test_smaller_views_train_and_whole_pictures_validate(stripes: Workspace, max_cache_gb: float) -> None:
    run = next(stripes.runs.iterdir())
    settings = Settings(views=1, view_size=SMALLER, max_cache_gb=max_cache_gb, dtype="float32")
    start = begin(stripes, load_head(stripes, run), settings, say=lambda line: None)
    tuned = tuned_of(build_backbone(BACKBONE), BACKBONE, top=50)
    said, read = list[str](), list[int]()
    progress = Progress(start=read.append)
    here = Session(stripes, Options(engine="litert"), progress, said.append)
    tuned, viewed = with_view_size(here, start, tuned, some_head())
    beside = sorted((stripes.root / "thumbnails").iterdir())  # of the pictures as the head sees them
    supply = choose_supply(here, start, tuned, viewed)
    assert sorted((stripes.root / "thumbnails").iterdir()) == beside
    everything = len(np.union1d(start.train, start.val))
    assert sum(read) == (everything if max_cache_gb else 0)  # each file once, whatever sizes and views
    assert said[0].startswith(
        "activations 3 x 3 x 112 of 48 pixels (plain and in 1 view), 4 x 4 x 112 of 64 pixels (plain): 0"
    )

    fit, val = supply.of(start.train), supply.of(start.val, trains=False)
    views = (None, View(settings.augment, 1, settings.seed))
    bottom = keras.Model(viewed.network.input, viewed.network.get_layer(tuned.border.layer).output)
    for number, view in enumerate(views):
        rows = start.train[:5]
        pictures = [
            load_row(start.data.manifest, row, SMALLER, tuned.decoding, view) for row in rows.tolist()
        ]
        expected = bottom(preprocess(np.stack(pictures).astype(np.float32), BACKBONE.preprocessing))
        found = fit.activations.take(rows, np.full(5, number))
        np.testing.assert_allclose(found, expected, atol=1e-3 * float(np.abs(expected).max()))
    [batch] = fit.epoch(1, len(fit), 0)
    assert batch.x.shape == (len(start.train), 3, 3, 112)
    embedding = start.data.embedding[val.rows]
    np.testing.assert_allclose(logits_of(tuned.model, val, 32), some_head().logits(embedding), atol=1e-3)
    assert val.views == 0 and supply.live().activations.take(val.rows[:1], np.zeros(1, int)).shape[1] == 4
