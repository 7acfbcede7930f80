"""Views: the same on every machine, in every order; the geometry of Keras, the colours of tf.image, no black edges."""

import dataclasses
import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import apply_affine_transform
from PIL import Image

from cache.errors import UserError
from cache.manifest import Manifest
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.embedding import extractor
from extract.embedding.extractor import Extractor
from extract.embedding.progress import Progress
from extract.embedding.runner import Outcome
from extract.embedding.spaces import make_space, view_of
from extract.engines.network_cache import Network
from extract.pictures.augmentation import View, affine, recolour, warp
from extract.pictures.decoding import RejectedImage, decode, render
from extract.pictures.files import load
from extract.pictures.policies import POLICIES, Policy
from extract.settings import Decoding, Options
from extract.sources.source import scan

KEYS = [hashlib.sha256(bytes([i])).digest() for i in range(200)]
GEOMETRIC = [name for name, policy in POLICIES.items() if policy.bends]


def smooth(side: int) -> np.ndarray:
    """A picture of slow waves: sampling it in between is next to exact. (side, side, 3) uint8"""
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(5 * x + 2 * y), np.cos(4 * y - 3 * x), np.sin(6 * x * y)]
    return np.rint(127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def ramp(side: int) -> np.ndarray:
    """Red is how far right a pixel is, green how far down, in 250 steps a side."""
    y, x = (np.mgrid[:side, :side] + 0.5) * 250 / side
    return np.rint(np.stack([x, y, np.zeros_like(x)], axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_view_follows_from_its_name_and_the_key_alone(policy: str) -> None:
    picture = smooth(60)
    views = [View(policy, number, seed) for number, seed in ((1, 0), (2, 0), (1, 5))]
    first = {(view, key): view.apply(picture, 40, key) for view in views for key in KEYS[:4]}
    for (view, key), pixels in reversed(first.items()):
        assert pixels.shape == (40, 40, 3) and pixels.dtype == np.uint8
        assert np.array_equal(View(view.policy, view.number, view.seed).apply(picture, 40, key), pixels)
    if policy not in ("none", "flip"):
        assert len({pixels.tobytes() for pixels in first.values()}) == len(first)


def test_the_draws_are_the_same_on_every_machine() -> None:
    picture = ramp(20)
    mirrored = [View("flip", 3, 7).apply(picture, 20, key)[0, 0, 0] > 125 for key in KEYS[:32]]
    assert "".join(str(int(m)) for m in mirrored) == "10011111000101101011011010010000"


def test_none_is_the_picture_and_flip_mirrors_half_of_them() -> None:
    picture = smooth(31)
    mirrored = 0
    for key in KEYS:
        assert np.array_equal(View("none", 1).apply(picture, 31, key), picture)
        pixels = View("flip", 1).apply(picture, 31, key)
        if not np.array_equal(pixels, picture):
            assert np.array_equal(pixels, picture[:, ::-1])
            mirrored += 1
    assert 75 < mirrored < 125


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")
@pytest.mark.parametrize(
    "change",
    [
        {"zoom": (0.8, 1.25)},
        {"rotation": 30.0},
        {"shear": 25.0},
        {"shift": (0.1, -0.2)},
        {"zoom": (0.7, 1.1), "rotation": -40.0, "shear": 15.0, "shift": (-0.15, 0.05), "flip": True},
    ],
)
def test_geometry_is_that_of_keras(change: dict) -> None:
    """Keras says rows first but moves its shifts, zooms and shears along x, y."""
    side, picture = 96, smooth(96)
    zoom, shift = change.get("zoom", (1, 1)), change.get("shift", (0, 0))
    theirs = apply_affine_transform(
        picture.astype(np.float32),
        theta=change.get("rotation", 0),
        tx=shift[0] * side,
        ty=shift[1] * side,
        shear=change.get("shear", 0),
        zx=zoom[0],
        zy=zoom[1],
        row_axis=0,
        col_axis=1,
        channel_axis=2,
    )
    theirs = theirs[:, ::-1] if change.get("flip") else theirs
    ours = np.asarray(warp(picture, affine(**change), side, "nearest")).astype(float)
    assert np.abs(ours - theirs).max() < 3
    assert np.abs(theirs - picture).mean() > 3


@pytest.mark.parametrize(("fill", "mode"), [("nearest", "edge"), ("reflect", "symmetric")])
def test_beyond_the_picture_lies_its_edge_or_its_mirror_image(fill: str, mode: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    wide = np.pad(picture, ((20, 20), (20, 20), (0, 0)), mode=mode)  # type: ignore[call-overload]
    for right, down in itertools.product((-17, -4, 0, 3, 15), repeat=2):
        got = np.asarray(warp(picture, affine(shift=(right / 10, down / 10)), 10, fill))
        assert np.array_equal(got, wide[20 + down : 30 + down, 20 + right : 30 + right])


@pytest.mark.parametrize("policy", GEOMETRIC)
def test_no_view_has_black_edges(policy: str) -> None:
    plain = dataclasses.replace(POLICIES[policy], brightness=0, contrast=0, saturation=0, hue=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(POLICIES, policy, plain)
        white = np.full((48, 48, 3), 255, np.uint8)
        assert min(View(policy, 1).apply(white, 32, key).min() for key in KEYS) == 255


def test_a_standard_view_shows_most_of_the_picture() -> None:
    picture, shares, ratios = ramp(90), [], []
    with pytest.MonkeyPatch.context() as patch:
        standard = POLICIES["standard"]
        patch.setitem(
            POLICIES,
            "standard",
            dataclasses.replace(standard, rotation=0, brightness=0, contrast=0, saturation=0),
        )
        for key in KEYS:
            seen = View("standard", 1).apply(picture, 60, key).astype(float)
            width = abs(seen[30, -1, 0] - seen[30, 0, 0]) / 250 * 60 / 59
            height = abs(seen[-1, 30, 1] - seen[0, 30, 1]) / 250 * 60 / 59
            shares.append(width * height)
            ratios.append(width / height)
    assert 0.62 < min(shares) < 0.69 and 0.95 < max(shares) <= 1.02
    assert 1.1 < max(ratios) < 1.18 and 1 / 1.18 < min(ratios) < 1 / 1.1


def test_a_view_is_sharper_from_the_larger_picture() -> None:
    """What the margin is for: closer to the same view of the full resolution than without it."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (120, 120, 3), dtype=np.uint8))
    full = noise.resize((480, 480), Image.Resampling.BICUBIC)
    view = View("standard", 1)
    assert view.source_size(120) == 180 and View("tutorial-c", 1).source_size(120) == 120
    off = {}
    for side in (120, 180):
        source = np.asarray(full.resize((side, side), Image.Resampling.BICUBIC))
        errors = []
        for key in KEYS[:20]:
            large = Image.fromarray(view.apply(np.asarray(full), 480, key))
            true = np.asarray(large.resize((120, 120), Image.Resampling.BICUBIC)).astype(float)
            errors.append(np.abs(view.apply(source, 120, key) - true).mean())
        off[side] = np.mean(errors)
    assert off[180] < 0.7 * off[120]


def test_contrast_and_brightness_are_those_of_tf_image() -> None:
    tf = pytest.importorskip("tensorflow")
    picture = smooth(50)
    scaled = tf.image.adjust_contrast(picture.astype(np.float32) / 255, 0.6)
    theirs = np.clip(np.asarray(tf.image.adjust_brightness(scaled, 0.15)), 0, 1) * 255
    ours = np.asarray(recolour(Image.fromarray(picture), contrast=0.6, brightness=0.15)).astype(float)
    assert np.abs(ours - theirs).max() < 1.5


def test_saturation_and_hue_keep_how_bright_a_colour_looks() -> None:
    luma = np.array([0.299, 0.587, 0.114])
    picture = 90 + smooth(50) // 4  # no colour is clipped
    image = Image.fromarray(picture)
    grey = np.asarray(recolour(image, saturation=0.0)).astype(float)
    assert np.ptp(grey, axis=-1).max() <= 1
    turned = np.asarray(recolour(image, hue=1 / 3)).astype(float)
    assert (
        np.abs(turned @ luma - picture @ luma).max() < 1.5
        and np.abs(grey @ luma - picture @ luma).max() < 1.5
    )
    assert np.abs(turned - picture).max() > 20
    again = recolour(recolour(Image.fromarray(np.uint8(turned)), hue=1 / 3), hue=1 / 3)
    assert np.abs(np.asarray(again).astype(float) - picture).max() < 4  # three thirds of a turn
    at_once = np.asarray(recolour(image, contrast=0.5, brightness=0.1, saturation=0.3, hue=0.2)).astype(float)
    one_by_one = recolour(recolour(image, contrast=0.5, brightness=0.1), saturation=0.3, hue=0.2)
    assert np.abs(at_once - np.asarray(one_by_one)).max() < 3
    red = np.asarray(recolour(Image.new("RGB", (1, 1), (200, 90, 90)), hue=0.05))[0, 0].astype(int)
    assert red[1] != red[2]


def test_colour_policies_change_no_shape_and_shapes_no_colour() -> None:
    picture = smooth(40)
    for policy in ("tutorial-a", "tutorial-d"):
        constant = np.full((60, 60, 3), (10, 100, 200), np.uint8)
        assert (View(policy, 1).apply(constant, 40, KEYS[0]) == (10, 100, 200)).all()
    brightest = [
        np.unravel_index(p[..., 1].astype(int).argmax(), (40, 40)) for p in (picture, picture[:, ::-1])
    ]
    for key in KEYS[:20]:
        seen = View("tutorial-c", 1).apply(picture, 40, key)
        assert not np.array_equal(seen, picture)
        values = seen[..., 1].astype(int)
        assert any(values[place] >= values.max() - 40 for place in brightest)


def test_changed_parameters_are_another_space(monkeypatch: pytest.MonkeyPatch) -> None:
    view = View("standard", 2, 9)
    backbone, network = Backbone.of("mobilenet_v2", "none", 32), Network("ab", 1280, 1)
    spaces = {
        make_space(backbone, network, Decoding(), "float32", v).id
        for v in (None, view, View("standard", 1, 9), View("standard", 2), View("strong", 2, 9))
    }
    assert len(spaces) == 5
    space = make_space(backbone, network, Decoding(), "float32", view)
    assert view_of(space) == view
    assert view_of(make_space(backbone, network, Decoding(), "float32")) is None
    monkeypatch.setitem(POLICIES, "standard", dataclasses.replace(POLICIES["standard"], rotation=9.0))
    assert View("standard", 2, 9).name != space.view
    with pytest.raises(UserError, match="another version of coldframe"):
        view_of(space)


def test_what_is_no_view_is_refused() -> None:
    with pytest.raises(UserError, match=r"none, flip, standard, strong, tutorial-a.*received 'wild'"):
        View("wild", 1)
    with pytest.raises(UserError, match="0 is the plain picture"):
        View("flip", 0)
    with pytest.raises(UserError, match="another version"):
        View.parse("something else")


def test_the_table_for_people_says_what_the_policies_say() -> None:
    page = (Path(__file__).parents[3] / "docs/decisions/0010-views.md").read_text()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")
    ]
    fields = [field.name for field in dataclasses.fields(Policy)]
    assert rows[0][1:] == fields
    told = {row[0].strip("`"): row[1:] for row in rows if row[0].startswith("`")}
    assert told.keys() == POLICIES.keys()
    for name, policy in POLICIES.items():
        expected = [getattr(policy, field) for field in fields]
        assert told[name] == [
            "yes" if v is True else "no" if v is False else f"{v:.3g}" if isinstance(v, float) else v
            for v in expected
        ]


# --- files ----------------------------------------------------------------------------------------------------


class Corners:
    """An embedding is what the top left and bottom right pixels are; pictures are counted."""

    name, device, batch_size, lanes = "litert", "cpu", 2, 1
    network = Network("c0" * 32, 6, 0)
    pictures = 0

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        self.pictures += len(pixels)
        return np.concatenate([pixels[:, 0, 0], pixels[:, -1, -1]], axis=1).astype(np.float32)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Corners:
    corners = Corners()
    monkeypatch.setattr(extractor, "learn_network", lambda *_: (corners.network, None))
    monkeypatch.setattr(extractor, "open_engine", lambda *_: corners)
    return corners


@pytest.fixture
def found(tmp_path: Path) -> Manifest:
    for label in "ab":
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number in range(3):
            picture = np.roll(smooth(70), 10 * number + ord(label), axis=0)
            Image.fromarray(picture).save(tmp_path / "pictures" / label / f"{number}.png")
    return scan(tmp_path / "pictures", []).manifest


def test_each_view_is_extracted_once_into_a_space_of_its_own(
    found: Manifest, engine: Corners, tmp_path: Path
) -> None:
    backbone, rows = Backbone.of("mobilenet_v2", "none", 32), np.arange(len(found))
    views = [None, View("standard", 1), View("standard", 2), View("tutorial-d", 1)]
    stores = []
    for view in views * 2:
        outcome = Outcome()
        extractor = Extractor(Workspace(tmp_path / "w"), backbone, Decoding(), Options(), view=view)
        missing = rows[~(found.hashed & extractor.store.contains(found.key))]
        extractor.embed(found, missing, Progress(), outcome)
        assert not outcome.rejects and view_of(extractor.space) == view
        stores.append(extractor.store)
    assert engine.pictures == len(views) * len(found)
    kept = [store.gather(found.key) for store in stores[:4]]
    for view, embedding in zip(views, kept, strict=True):
        for path, key, row in zip(found.paths, found.key, embedding, strict=True):
            pixels = load(Path(found.root), path, key.tobytes(), 32, Decoding(), view)
            assert np.array_equal(row, [*pixels[0, 0], *pixels[-1, -1]])
    assert len({embedding.tobytes() for embedding in kept}) == 4


def test_a_live_picture_is_the_plain_one_without_a_view(found: Manifest) -> None:
    data = Path(found.root, found.paths[0]).read_bytes()
    key = hashlib.sha256(data).digest()
    for view in (None, View("none", 1)):
        assert np.array_equal(
            load(Path(found.root), found.paths[0], key, 32, Decoding(), view), decode(data, 32, Decoding())
        )
    assert not np.array_equal(
        render(data, key, 32, Decoding(), View("strong", 1)), decode(data, 32, Decoding())
    )


def test_a_file_that_changed_or_went_is_no_live_picture(found: Manifest) -> None:
    root, path = Path(found.root), found.paths[0]
    data = (root / path).read_bytes()
    key = hashlib.sha256(data).digest()
    (root / path).write_bytes(data + b"x")
    with pytest.raises(RejectedImage, match="changed since it was extracted"):
        load(root, path, key, 32, Decoding())
    (root / path).unlink()
    with pytest.raises(RejectedImage, match="cannot be read: No such file"):
        load(root, path, key, 32, Decoding(), View("flip", 1))
