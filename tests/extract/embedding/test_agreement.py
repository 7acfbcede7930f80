"""Which calibration int8 computes by: what ships, what was kept, or a new one; and when there is none."""

from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.storage.json_file import read_json, write_json
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.backbones.calibration import Activation, Calibration
from extract.commands.extract import Summary, extract
from extract.embedding import agreement
from extract.embedding.progress import Progress
from extract.embedding.spaces import CALIBRATION, backbone_of
from extract.settings import Decoding, Options
from tests.extract.counting import CountingEngine, make_pictures

SHIPPED = Backbone.of(input_size=32, pooling="avg", precision="int8")
NONE_SHIPS = Backbone.of(input_size=32, weights="none", pooling="avg", precision="int8")


class Rows:
    """Float32 rows beside those of int8, which are as far off as a test says; and calibrations, counted."""

    def __init__(self) -> None:
        self.noise, self.own_noise = 0.0, 0.0  # of the shipped calibration, of a new one
        self.measured: list[int] = []  # pictures of each calibration
        self.compared = 0

    def embed(self, backbone: Backbone, pixels: np.ndarray, note: object) -> np.ndarray:
        rows = pixels.mean((1, 2)).astype(np.float32)
        if backbone.precision == "float32":
            return rows
        self.compared += 1
        noise = self.noise if backbone.calibration is None else self.own_noise
        return rows + noise * rows.std() * np.random.default_rng(1).normal(0, 1, rows.shape).astype(
            np.float32
        )

    def calibrate(self, backbone: Backbone, pixels: np.ndarray) -> Calibration:
        self.measured.append(len(pixels))
        return Calibration((Activation.of(0, len(pixels), np.zeros(3)),))


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    stand = Rows()
    monkeypatch.setattr(agreement, "_embed", stand.embed)
    monkeypatch.setattr(agreement, "calibrate", stand.calibrate)
    return stand


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures", {"cat": 12, "dog": 12})


def run(folder: Path, backbone: Backbone = SHIPPED, options: Options = Options()) -> tuple[Summary, str]:  # noqa: B008
    notes = list[str]()
    workspace = Workspace(folder.parent / "workspace")
    done = extract(workspace, folder, backbone, Decoding(), options, progress=Progress(note=notes.append))
    return done, "\n".join(notes)


def precision(done: Summary, folder: Path) -> str:
    return Workspace(folder.parent / "workspace").store_by_id(done.space).space.precision


def test_the_figure() -> None:
    rows = np.random.default_rng(0).normal(5, 1, (50, 8)).astype(np.float32)
    assert agreement.agreement(rows, rows) == pytest.approx(1)
    assert agreement.agreement(rows, rows + 3) < 0.6  # all shifted alike is no agreement
    assert abs(agreement.agreement(rows, np.random.default_rng(1).normal(5, 1, rows.shape))) < 0.2


def test_what_ships_is_taken_where_its_rows_agree(rows: Rows, engine: CountingEngine, pictures: Path) -> None:
    done, told = run(pictures)
    assert precision(done, pictures) == "int8" and not rows.measured
    assert "int8 rows agree with float32 by 1.000" in told and "calibrated on photographs" in told


def test_else_the_data_set_calibrates_and_keeps_it(
    rows: Rows, engine: CountingEngine, pictures: Path
) -> None:
    rows.noise = 1.0
    done, told = run(pictures)
    assert (
        rows.measured == [24]
        and "calibrated on 24 of these pictures, where the ranges there were give 0." in told
    )
    text = precision(done, pictures)
    kept = Workspace(pictures.parent / "workspace").store_by_id(done.space)
    found = backbone_of(kept).calibration
    assert found is not None and text == f"int8 calibrated {found.digest}"
    # From then on it is that one, also with more pictures, and nothing is compared again.
    compared = rows.compared
    make_pictures(pictures, {"cow": 5})
    again, told = run(pictures)
    assert (again.space, again.embedded, again.cached) == (done.space, 5, 24)
    assert rows.measured == [24] and rows.compared == compared and "agree" not in told


def test_another_data_set_takes_a_calibration_that_fits(
    rows: Rows, engine: CountingEngine, pictures: Path
) -> None:
    rows.noise = 1.0
    first, _ = run(pictures)
    second, told = run(make_pictures(pictures.parent / "others", {"a": 10, "b": 11}))
    assert second.space == first.space and rows.measured == [24] and "as before" in told


def test_a_network_without_a_calibration_always_calibrates(
    rows: Rows, engine: CountingEngine, pictures: Path
) -> None:
    done, told = run(pictures, NONE_SHIPS)
    assert (
        precision(done, pictures).startswith("int8 calibrated ")
        and "calibrated on 24 of these pictures" in told
    )


def test_useless_rows_are_refused_with_the_figure(rows: Rows, engine: CountingEngine, pictures: Path) -> None:
    rows.noise, rows.own_noise = 1.0, 3.0
    with pytest.raises(UserError, match=r"by 0\.8, received 0\.\d+ on 24 pictures.* --precision float32"):
        run(pictures)
    assert engine.pictures == 0


def test_one_picture_is_too_few(rows: Rows, engine: CountingEngine, pictures: Path) -> None:
    one = make_pictures(pictures.parent / "one", {"cat": 1})
    done, told = run(one)
    assert (
        precision(done, one) == "int8"
        and "int8 not compared with float32: 1 picture, and 16 are needed" in told
    )
    with pytest.raises(UserError, match=r"at least 16 readable pictures to calibrate .* received 1.*float32"):
        run(one, NONE_SHIPS)


def test_each_of_several_machines_would_calibrate_another(
    rows: Rows, engine: CountingEngine, pictures: Path
) -> None:
    done, _ = run(pictures, options=Options(shard=(1, 2)))  # what ships is the same everywhere
    assert precision(done, pictures) == "int8"
    rows.noise = 1.0
    other = make_pictures(pictures.parent / "other", {"a": 10, "b": 11})
    with pytest.raises(UserError, match=r"each machine would calibrate another.*without --shard"):
        run(other, options=Options(shard=(1, 2)))


@pytest.mark.parametrize("damage", ["gone", "other", "no JSON", "empty"])
def test_a_calibration_that_is_lost_is_missed(
    damage: str, rows: Rows, engine: CountingEngine, pictures: Path
) -> None:
    rows.noise = 1.0
    done, _ = run(pictures)
    store = Workspace(pictures.parent / "workspace").store_by_id(done.space)
    path = store.folder / CALIBRATION
    if damage == "gone":
        path.unlink()
    elif damage == "other":
        write_json(path, {"activations": [[0.0, 1.0, "AAAA"]]})
    elif damage == "empty":
        write_json(path, {})
    else:
        path.write_text("{")
    with pytest.raises(UserError, match=r"calibration\.json.*Restore the file, or run extract again"):
        backbone_of(store)
    make_pictures(pictures, {"cow": 1})
    again, _ = run(pictures)  # calibrates anew
    assert rows.measured == [24, 25] and again.space != done.space
    assert read_json(Workspace(pictures.parent / "workspace").store_by_id(again.space).folder / CALIBRATION)


def test_what_is_not_int8_is_what_it_is(rows: Rows, tmp_path: Path) -> None:
    for backbone in (Backbone.of(), Backbone.of(precision="float16")):
        assert agreement.settled(Workspace(tmp_path), backbone, Decoding(), Options(), print) is backbone
