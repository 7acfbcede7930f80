"""Several heads, each behind its own networks, that answer together in one file."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from classify.models.layers import Branch, Member, build_model, join, mix
from classify.models.linear import LinearHead
from classify.models.model_file import load_model, save_model
from extract.backbones.backbone import Backbone
from extract.backbones.network import build_backbone, build_embedder
from extract.settings import Decoding
from tests.classify.several import write_network

CLASSES = ("daisy", "rose")
SHARE = 0.3


def linear(width: int, seed: int) -> LinearHead:
    random = np.random.default_rng(seed)
    kernel = random.normal(size=(width, 2)).astype(np.float32) / 100
    return LinearHead("none", kernel, random.normal(size=2).astype(np.float32), CLASSES)


def test_the_answer_is_the_weighted_mean_also_of_one_network_twice(tmp_path: Path) -> None:
    networks = {
        size: Backbone.of(f"keras:{write_network(tmp_path / f'n{size}.keras', size, number)}", pooling="avg")
        for number, size in enumerate((32, 40))
    }
    tuned = build_backbone(networks[40])
    tuned.set_weights([1.1 * weight for weight in tuned.get_weights()])
    fused = [Branch(networks[32], Decoding()), Branch(networks[40], Decoding(), (0, 2, 5))]
    alone = Branch(networks[40], Decoding(), network=tuned)
    model = mix([Member(fused, linear(11, 0), SHARE), Member([alone], linear(9, 1), 1 - SHARE)])

    save_model(model, tmp_path / "model.keras", {"classes": list(CLASSES)})
    plain = keras.models.load_model(tmp_path / "model.keras", compile=False)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 48, 40, 3)).astype(np.uint8)
    found = plain.predict(pixels, verbose=0)
    again = build_backbone(networks[40])
    again.set_weights(tuned.get_weights())
    apart = [join(fused, linear(11, 0)), build_model(networks[40], Decoding(), linear(9, 1), again)]
    one, two = (each.predict(pixels, verbose=0) for each in apart)
    np.testing.assert_allclose(found, SHARE * one + (1 - SHARE) * two, atol=1e-5)
    assert np.abs(one - two).max() > 0.01 and found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert load_model(tmp_path / "model.keras").model.get_layer("classifier").input_shape == [
        (None, 32, 32, 3),
        (None, 40, 40, 3),
    ]


@pytest.mark.parametrize("scaling", ["none", "root"])
def test_mirrored_the_head_is_asked_for_the_mean_of_both_rows(tmp_path: Path, scaling: str) -> None:
    network = Backbone.of(f"keras:{write_network(tmp_path / 'n.keras', 32, 0)}", pooling="avg")
    head = replace(linear(8, 0), scaling=scaling)
    model = build_model(network, Decoding(), head, mirrored=True)
    save_model(model, tmp_path / "model.keras", {"classes": list(CLASSES)})
    plain = keras.models.load_model(tmp_path / "model.keras", compile=False)

    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    embed, mirror = build_embedder(network), pixels[:, :, ::-1]
    one, two = (embed.predict(each, verbose=0) for each in (pixels, mirror))
    inner = plain.get_layer("classifier")
    expected = inner.get_layer("head").predict((one + two) / 2, verbose=0)
    found = plain.predict(pixels, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(plain.predict(mirror, verbose=0), found, atol=1e-5)
    alone = build_model(network, Decoding(), head).predict(pixels, verbose=0)
    assert np.abs(found - alone).max() > 1e-3


def test_a_mirrored_one_answers_beside_one_that_is_not(tmp_path: Path) -> None:
    network = Backbone.of(f"keras:{write_network(tmp_path / 'n.keras', 32, 0)}", pooling="avg")
    branch, heads = Branch(network, Decoding()), (linear(8, 0), linear(8, 1))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    one = build_model(network, Decoding(), heads[0], mirrored=True).predict(pixels, verbose=0)
    two = build_model(network, Decoding(), heads[1]).predict(pixels, verbose=0)
    model = mix([Member([branch], heads[0], 1 - SHARE, True), Member([branch], heads[1], SHARE)])
    np.testing.assert_allclose(model.predict(pixels, verbose=0), (1 - SHARE) * one + SHARE * two, atol=1e-5)
