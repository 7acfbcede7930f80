"""What the pixels alone say."""

from dataclasses import fields

import numpy as np
import pytest

from cache.storage.store import Store
from classify.commands.audit.kinds.pixels import pixel_issues
from extract.pictures.facts import Facts
from tests.classify.commands.audit.samples import evidence, unknown
from tests.classify.samples import SPACE, make_manifest

N = 40
ROWS = np.random.default_rng(0).normal(size=(N, 8)).astype(np.float32)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / SPACE.id, SPACE)


def usual() -> dict[str, np.ndarray]:
    """Facts of pictures with nothing odd."""
    plain = {
        "width": 200,
        "height": 150,
        "brightness": 0.5,
        "contrast": 0.2,
        "darkest": 0.1,
        "brightest": 0.9,
    }
    plain |= {"entropy": 7, "sharpness": 1.1}
    assert plain.keys() == {field.name for field in fields(Facts)}
    return {name: np.full(N, value, np.float32) for name, value in plain.items()}


def test_odd_pictures_are_named_with_why(store: Store) -> None:
    known = usual()
    known["brightest"][3], known["height"][5], known["sharpness"][[7, 8]] = 0.1, 20, (0.4, 0.5)
    manifest = make_manifest(np.arange(N) % 2, ("a", "b"))
    manifest.label[3] = -1
    found, notes = pixel_issues(evidence(manifest, ROWS, store, facts=Facts(**known)))
    assert notes == [] and {each.kind for each in found} == {"pixels"}
    said = [(each.row, each.label, each.why.partition(":")[0]) for each in found]
    assert [each for each in said if each[2] in ("dark", "blurred")] == [
        (3, "", "dark"),
        (7, "b", "blurred"),
        (8, "a", "blurred"),
    ]
    assert (5, "b", "odd shape") in said
    scores = [each.score for each in found if each.why.startswith("blurred")]
    assert scores == sorted(scores, reverse=True) and min(scores) > 0


def test_what_is_usual_and_what_is_unknown_is_said(store: Store) -> None:
    known = usual()
    known["brightest"][:20] = 0.1
    manifest = make_manifest(np.zeros(N, int), ("a",))
    found, notes = pixel_issues(evidence(manifest, ROWS, store, facts=Facts(**known)))
    assert found == [] and notes == ["20 pictures dark: usual here, and not listed"]
    found, notes = pixel_issues(evidence(manifest, ROWS, store, facts=unknown(N)))
    assert (
        found == []
        and len(notes) == 1
        and "40 pictures not looked at" in notes[0]
        and "`extract`" in notes[0]
    )
