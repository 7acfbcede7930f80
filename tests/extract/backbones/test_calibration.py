"""What is known of a network's activations: kept in little, and the same when read again."""

import json

import numpy as np
import pytest

from extract.backbones.backbone import Backbone
from extract.backbones.calibration import SHIPPED, Activation, Calibration, shipped
from extract.backbones.efficientnet_lite import VARIANTS


def test_it_is_the_same_when_read_again() -> None:
    means = np.array([-1.0, 0.25, 3.0])
    calibration = Calibration((Activation.of(-1.1, 3.3, means), Activation.of(0, 6, np.zeros(1))))
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert again == calibration and again.digest == calibration.digest and len(again.digest) == 16
    np.testing.assert_allclose(again.activations[0].channel_means, means, atol=4.4 / 255 / 2)
    assert Calibration(calibration.activations[:1]).digest != calibration.digest


@pytest.mark.parametrize("text", [[1], [[1, 2]], "x", None, [["a", 1, ""]]])
def test_what_is_no_calibration(text: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        Calibration.from_json(text)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_bundled_networks_have_one(name: str) -> None:
    found = shipped(name)
    assert found is not None and Backbone.of(name, precision="int8").ranges is found
    first, *others = found.activations
    assert (first.low, first.high, len(first.channel_means)) == (-127 / 128, 1, 3)
    assert len(others[-1].channel_means) == 1280
    assert SHIPPED.stat().st_size < 150_000


def test_it_is_for_their_own_weights_and_preparation(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "weights").write_bytes(b"")
    assert Backbone.of(weights=str(tmp_path / "weights"), precision="int8").ranges is None
    assert Backbone.of(weights="none", precision="int8").ranges is None
    assert Backbone.of(preprocessing="tf", precision="int8").ranges is None
    assert Backbone.of("mobilenet_v2", precision="int8").ranges is None
