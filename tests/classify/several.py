"""Pictures embedded by several small networks, and heads on their rows side by side."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers

from cache.space import Space
from cache.workspace import Workspace
from classify.heads.calibration import CalibratedHead
from classify.heads.table import HEADS
from classify.runs.head_file import save_head
from classify.runs.inputs import Input, to_record
from classify.runs.record import of_space, record
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.settings import Decoding, Options
from tests.classify.commands.finetune.conftest import write_pictures

SIZES = {"low": 32, "mid": 40, "top": 32}  # of the networks' pictures, in pixels
SOFT = 1.5  # temperature of the heads


def write_network(path: Path, size: int, number: int) -> Path:
    """Two blocks trained on nothing, the second of 8 + `number` features."""
    keras.utils.set_random_seed(number)
    parts = [
        keras.Input((size, size, 3)),
        layers.Conv2D(6, 5, strides=4, padding="same", activation="relu", name="block1_conv"),
        layers.Conv2D(8 + number, 3, strides=2, padding="same", activation="relu", name="block2_conv"),
    ]
    keras.Sequential(parts, name=path.stem).save(path)
    return path


def prepare(
    folder: Path,
    per_class: int = 8,
    pooling: str = "avg",
    engine: str = "keras",
    resizer: str = Decoding.resizer,
) -> list[Space]:
    """Embed pictures of stripes in three spaces of a workspace below `folder`."""
    workspace, pictures = Workspace(folder / ".coldframe"), write_pictures(folder / "stripes", 3, per_class)
    spaces = []
    for number, (name, size) in enumerate(SIZES.items()):
        file = write_network(folder / f"{name}.keras", size, number)
        backbone = Backbone.of(f"keras:{file}", pooling=pooling, preprocessing="unit")
        done = extract(workspace, pictures, backbone, Decoding(resizer=resizer), Options(engine=engine))
        spaces.append(workspace.store_by_id(done.space).space)
    return spaces


def fit(
    workspace: Workspace,
    inputs: Sequence[Input],
    name: str = "logreg",
    make: Callable[[], object] | None = None,
) -> Path:
    """Fit a head on these inputs and write it as `fit-head` does."""
    data = workspace.load(space=",".join(each.space.id for each in inputs))
    stores = zip(inputs, data.stores, strict=True)
    X = np.hstack([store.gather(data.manifest.key)[:, each.columns] for each, store in stores])
    names = np.array(data.manifest.classes)[data.manifest.label]
    head = CalibratedHead((make or HEADS[name].make)().fit(X, names), SOFT)
    run = workspace.new_run("fit-head")
    facts = {"dataset": data.name, "root": data.manifest.root, "data_sha256": "", "parameters": {}}
    described = record(
        "fit-head",
        **facts,
        head={"name": name, "cv_accuracy": 0.5},
        space=of_space(inputs[0].space),
        inputs=to_record(inputs),
    )
    save_head(run, head, described)
    return run
