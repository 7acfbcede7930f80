"""Extraction on a real Ray of three nodes on this machine: whole, exact, and whatever is killed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.errors import UserError
from cache.workspace import Workspace
from classify.heads.cluster.team import spreader
from extract.backbones.backbone import Backbone
from extract.commands.extract import Summary, extract_all
from extract.embedding.cluster import crew, nodes
from extract.embedding.cluster.driver import embed_on_ray
from extract.embedding.progress import Progress
from extract.settings import Decoding, Options, Ray
from tests.extract.embedding.cluster import workers
from tests.raylets import NODES, Raylets, wait_until

pytestmark = pytest.mark.ray
ROOT = Path(__file__).parents[4]


@pytest.fixture
def pictures(flowers: Path, tmp_path: Path) -> Path:
    """120 photographs, two of them the same, and a file that is none."""
    folder = tmp_path / "pictures"
    for label in sorted(p for p in flowers.iterdir() if p.is_dir()):
        (folder / label.name).mkdir(parents=True)
        for picture in sorted(label.iterdir())[:24]:
            shutil.copy2(picture, folder / label.name)
    first, second = sorted((folder / "rose").iterdir())[:2]
    shutil.copy2(first, second)
    (folder / "rose" / "broken.jpg").write_bytes(b"no picture")
    return folder


def run(
    folder: Path, on_ray: bool = True, advance: Callable[[int, int], None] | None = None, **options: Any
) -> Summary:
    """Extract into a workspace beside the folder."""
    notes: list[str] = []
    progress = (
        Progress(note=notes.append) if advance is None else Progress(advance=advance, note=notes.append)
    )
    cluster = Ray((), options.pop("ray_workers", None))
    beside = {"embed": lambda *words: embed_on_ray(*words, cluster=cluster)} if on_ray else {}
    (done,) = extract_all(
        Workspace(folder.parent / "workspace"),
        folder,
        [Backbone.of("efficientnet_lite0")],
        Decoding(),
        Options(**options),
        progress=progress,
        **beside,
    )
    done.notes = notes  # type: ignore[attr-defined]
    return done


def check(done: Summary, embedded: int | None = None) -> int:
    """Counts add up, and no row is there twice; returns how many were embedded."""
    assert (done.files, done.rejected) == (121, 1)
    assert done.embedded + done.cached == 120
    assert embedded in (None, done.embedded)
    return done.embedded


def sealed(folder: Path) -> bool:
    """Whether there is a shard."""
    return bool(list(folder.parent.glob("workspace/spaces/*/shards/*.h5")))


def rows(folder: Path) -> int:
    (store,) = Workspace(folder.parent / "workspace").spaces()
    return len(store)


def test_rows_are_those_of_one_process(ray: Any, pictures: Path) -> None:
    counted = [0, 0]

    def advance(done: int, rejected: int) -> None:
        counted[0] += done
        counted[1] += rejected

    done = run(pictures, advance=advance)
    assert check(done, 119) and counted == [121, 1]
    assert "on Ray: 3 workers of 1 core on 3 nodes" in done.notes  # type: ignore[attr-defined]
    assert check(run(pictures), 0) == 0
    there = Workspace(pictures.parent / "workspace").load()
    other = pictures.parent / "other"
    other.mkdir()
    pictures.rename(other / "pictures")
    run(other / "pictures", on_ray=False)
    here = Workspace(other / "workspace").load()
    assert here.manifest.paths == there.manifest.paths and here.space == there.space
    np.testing.assert_array_equal(here.manifest.key, there.manifest.key)
    np.testing.assert_allclose(here.embedding, there.embedding, atol=1e-5)


def test_a_killed_worker_costs_what_it_had_not_sealed(
    ray: Any, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "Worker", workers.Doomed)
    done = run(pictures)
    check(done, 119)
    assert (pictures.parent / "workspace" / "killed").exists()
    assert any("is lost" in note for note in done.notes)  # type: ignore[attr-defined]
    assert rows(pictures) in (119, 120)  # the copy may have been with two workers
    assert check(run(pictures, on_ray=False), 0) == 0


def test_a_killed_node_costs_what_it_had_not_sealed(
    raylets: Raylets, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "Worker", workers.Impatient)
    gone = []

    def advance(done: int, rejected: int) -> None:
        if not gone and rows(pictures) > 10:
            gone.append(next(iter(raylets.cluster.worker_nodes)))
            raylets.kill(gone[0])

    check(run(pictures, advance=advance), 119)
    assert gone
    assert rows(pictures) in (119, 120)
    assert check(run(pictures, on_ray=False), 0) == 0


def test_ctrl_c_keeps_what_was_embedded(ray: Any, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0

    def advance(done: int, rejected: int) -> None:
        nonlocal seen
        seen += done
        if seen > 40:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(crew, "Worker", workers.Sated)
        patch.setattr(crew, "AHEAD", 16)  # files of each, however slow the driver is
        run(pictures, advance=advance)
    kept = rows(pictures)
    assert 38 < kept <= 48
    assert 119 - kept <= check(run(pictures)) <= 120 - kept


def test_a_file_that_kills_workers_ends_it_with_its_name(
    ray: Any, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "Worker", workers.Poisoned)
    (pictures / "tulip" / "broken.jpg").write_bytes(b"poison")
    (pictures / "tulip" / "broken.jpg").rename(pictures / "tulip" / "zz poison.jpg")
    with pytest.raises(UserError, match=r"3 that died over the same .*zz poison.jpg.*--batch-size"):
        run(pictures)
    (pictures / "tulip" / "zz poison.jpg").unlink()
    check(run(pictures, on_ray=False))


def test_workers_that_never_begin_end_it(ray: Any, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "Worker", workers.Stillborn)
    with pytest.raises(UserError, match=r"3 deaths one after the other.*--workers"):
        run(pictures)


OTHER = """
import importlib.util, os
found = importlib.util.find_spec
def find_spec(name, *rest):
    spec = found(name, *rest)
    if name == "extract" and spec:
        spec.submodule_search_locations = {where}
    return spec
importlib.util.find_spec = find_spec
"""


@pytest.mark.parametrize(("where", "wrong"), [("[]", "no coldframe"), ("[OTHER]", "another coldframe")])
def test_nodes_without_the_package_or_with_another_are_told(
    raylets: Raylets, pictures: Path, tmp_path: Path, where: str, wrong: str
) -> None:
    other = tmp_path / "other" / "extract"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('"""Of another version."""')
    text = OTHER.format(where=where.replace("OTHER", repr(str(other))))
    (other.parent / "sitecustomize.py").write_text(text)
    raylets.add(num_cpus=1, env_vars={"PYTHONPATH": str(other.parent)})
    with pytest.raises(UserError, match=rf"this version of coldframe on each node.* has {wrong}") as error:
        run(pictures)
    assert str(error.value).count(" has ") == 1
    with pytest.raises(UserError, match=rf"coldframe on each node of the cluster; .* has {wrong}"):
        spreader(Ray(()), print).__enter__()


def test_nodes_that_do_not_see_the_pictures_are_told(
    ray: Any, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = nodes._looking
    hidden = lambda places, code="": look([f"{each}/elsewhere" for each in places] if code else places, code)  # noqa: E731
    monkeypatch.setattr(nodes, "_looking", hidden)
    with pytest.raises(UserError, match=r"each node .* does not see .*\.jpg.* does not see the workspace "):
        run(pictures)


def test_a_worker_out_of_memory_is_told_with_what_to_lower(raylets: Raylets, pictures: Path) -> None:
    raylets.add(
        num_cpus=2, env_vars={"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "50"}
    )
    with pytest.raises(UserError, match=r"out of memory.*--batch-size"):
        run(pictures, workers=2)  # of two cores: only that node has them


def test_too_small_a_cluster_is_told_at_once(ray: Any, pictures: Path) -> None:
    with pytest.raises(UserError, match=r"room for 30 workers of 1 CPU, received one with room for \d: "):
        run(pictures, ray_workers=30)


def test_a_cluster_that_others_hold_is_told(
    raylets: Raylets, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = raylets.ray
    monkeypatch.setattr(crew, "PATIENCE", 2.0)
    monkeypatch.setattr(crew, "TOLD", 0.5)

    class Holder:
        def ready(self) -> bool:
            return True

    holders = [ray.remote(Holder).options(num_cpus=1).remote() for _ in range(3)]
    ray.get([each.ready.remote() for each in holders])
    wait_until(lambda: raylets.free() == 0)
    try:
        with pytest.raises(UserError, match=r"room for 3 workers, received none for 2 s: 0 of 3 CPU free"):
            run(pictures)
    finally:
        for each in holders:
            ray.kill(each)


def test_a_killed_driver_costs_what_was_not_sealed(raylets: Raylets, pictures: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from extract.embedding.cluster import crew\n"
        "from tests.extract.embedding.cluster import test_driver, workers\n"
        "crew.Worker, crew.AHEAD = workers.Sated, 16\n"
        "import ray; ray.init(sys.argv[2], log_to_driver=False)\n"
        "test_driver.run(Path(sys.argv[1]))\n"
    )
    words = [sys.executable, "-c", code, str(pictures), raylets.cluster.address]
    driver = subprocess.Popen(words, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        wait_until(lambda: sealed(pictures) or driver.poll() is not None)
        assert driver.poll() is None
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    kept = rows(pictures)
    assert kept < 119
    wait_until(lambda: raylets.free() == NODES)  # Ray ends workers with their driver
    kept = rows(pictures)
    assert check(run(pictures)) in (119 - kept, 120 - kept)
