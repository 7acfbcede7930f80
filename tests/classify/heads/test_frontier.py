"""What a network costs is recalled, and whoever cannot be timed says why."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.workspace import Workspace
from classify.heads.frontier import cost_in
from extract.backbones.backbone import Backbone
from extract.embedding.spaces import make_space
from extract.engines.network_cache import Network
from extract.engines.timing import keep_cost
from extract.settings import Decoding
from tests.classify.samples import SPACE, make_manifest


def test_a_known_cost_needs_no_network_and_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = Backbone.of("efficientnet_lite0", pooling="avg")
    network = Network("f" * 64, 1280, 1)
    workspace = Workspace(tmp_path / ".coldframe").create()
    store = workspace.store(make_space(backbone, network, Decoding(), "float32"))
    keep_cost(store, "litert", None, 2.5)
    monkeypatch.setattr("classify.heads.frontier.choose_engine", lambda *_: "litert")
    assert cost_in(workspace, store, make_manifest(np.zeros(1), ("a",))) == 2.5


def test_a_network_that_is_not_known_is_told_of(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / ".coldframe").create()
    with pytest.raises(UserError, match="Expected a backbone"):
        cost_in(workspace, workspace.store(replace(SPACE, pooling="avg")), make_manifest(np.zeros(1), ("a",)))
