"""From a backbone to its space and back, for rows of every stage; the real engine."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from cache.commands.ls import list_workspace
from cache.errors import UserError
from cache.storage.json_file import write_json
from cache.workspace import Workspace
from extract import ImageEmbedder
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.commands.recompute import recompute
from extract.embedding.spaces import backbone_of, make_space
from extract.embedding.views import augment
from extract.engines import network_cache
from extract.engines.network_cache import Network
from extract.pictures.policies import Views
from extract.settings import Decoding, Options

STAGES = Backbone.of(pooling="stages")


def test_the_widths_of_the_parts_are_in_the_space() -> None:
    network = Network("ab" * 32, 1344, 7, parts=[24, 40, 1280])
    assert make_space(STAGES, network, Decoding(), "float32").pooling == "stages:24+40+1280"
    plain = make_space(Backbone.of(pooling="avg"), Network("ab" * 32, 1280, 7), Decoding(), "float32")
    assert plain.pooling == "avg"


def test_what_was_known_of_a_network_before_it_had_parts_still_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path))
    known = Network("ab" * 32, 1280, 7)
    network_cache.remember(Backbone.of(), known)
    file = next(network_cache.folder().glob("*.json"))
    fields = asdict(known)
    del fields["parts"]
    write_json(file, fields)
    assert network_cache.find(Backbone.of()) == known


def test_rows_of_every_stage_from_command_transformer_and_views(few_flowers: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    extract(workspace, few_flowers, STAGES, Decoding(), Options(engine="litert"))
    data = workspace.load()
    assert data.embedding.shape == (40, 2048) and data.space.parts[-1].start == 768
    assert backbone_of(data.store) == STAGES
    listed = list_workspace(workspace)["spaces"][0]
    assert (listed["layer"], listed["precision"]) == ("stages, 2,048 numbers", "float32")
    again = recompute(workspace, 3)
    assert (again.recomputed, again.differing) == (3, 0)

    embedder = ImageEmbedder(pooling="stages", engine="litert", workspace=workspace.root)
    rows = embedder.fit_transform([few_flowers / path for path in data.manifest.paths[:2]])
    assert embedder.space_ == data.space.id and np.array_equal(rows, data.embedding[:2])

    (view,) = augment(workspace, data, np.arange(2), Views.of(1), Options(engine="litert")).stores
    assert view.space.parts == data.space.parts and len(view) == 2


def test_stages_that_end_elsewhere_now_are_noticed(
    few_flowers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    extract(workspace, few_flowers, STAGES, Decoding(), Options(engine="litert"))
    network = network_cache.find(STAGES)
    assert network is not None
    other = Network(network.weights, network.dim, network.parameters, network.model, parts=[768, 1280])
    monkeypatch.setattr("extract.commands.recompute.learn_network", lambda *_, **__: (other, None))
    with pytest.raises(
        UserError, match=r"Expected stages of \[24, 40.*received \[768, 1280\].*Run extract again"
    ):
        recompute(workspace, 3)
