"""Extraction end to end: real files, the real pipeline, a counting engine; and the real engine where it matters."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cli
from cache.errors import UserError
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.commands.extract import Summary, extract
from extract.commands.manifest import survey
from extract.embedding import runner
from extract.embedding.progress import Progress
from extract.pictures import decoding
from extract.settings import Decoding, Options
from tests.extract import sample_pictures
from tests.extract.counting import CountingEngine, make_pictures

ROOT = Path(__file__).parents[3]


def run(folder: Path, workspace: Path | None = None, **options) -> Summary:  # type: ignore[no-untyped-def]
    name, progress = options.pop("name", None), options.pop("progress", None)
    return extract(
        Workspace(workspace or folder.parent / "workspace"),
        folder,
        Backbone.of("mobilenet_v2", "none", 32),
        Decoding(),
        Options(**options),
        name=name,
        progress=progress,
    )


def counts(summary: Summary) -> tuple[int, int, int, int]:
    assert summary.files == summary.embedded + summary.cached + summary.rejected
    assert len(summary.rejects) == summary.rejected
    return summary.files, summary.embedded, summary.cached, summary.rejected


def test_once_per_picture(folder: Path, engine: CountingEngine) -> None:
    assert counts(run(folder)) == (9, 9, 0, 0)
    assert counts(run(folder)) == (9, 0, 9, 0)
    assert engine.pictures == 9
    data = Workspace(folder.parent / "workspace").load()
    assert data.name == "pictures" and data.missing == 0
    for path, row in zip(data.manifest.paths, data.embedding, strict=True):
        with Image.open(folder / path) as image:
            expected = np.asarray(image.crop((2, 0, 22, 20)), np.float64).mean(axis=(0, 1))
        np.testing.assert_allclose(row, expected, atol=4)


def test_moved_renamed_and_relabelled_pictures_cost_nothing(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    (folder / "cat/0.png").rename(folder / "cat/renamed.png")
    (folder / "cat/1.png").rename(folder / "dog/was a cat.png")
    (folder / "dog").rename(folder / "wolf")
    assert counts(run(folder)) == (9, 0, 9, 0)
    moved = folder.parent / "elsewhere"
    folder.rename(moved)
    assert counts(run(moved, moved.parent / "workspace", name="pictures")) == (9, 0, 9, 0)
    assert engine.pictures == 9


def test_a_changed_picture_is_a_new_one(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    shutil.copy(folder / "dog/0.png", folder / "cat/0.png")
    Image.new("RGB", (9, 9), "red").save(folder / "cat/1.png")
    summary = run(folder)
    assert counts(summary) == (9, 1, 8, 0)
    assert sorted(summary.conflicts) == ["cat/0.png", "dog/0.png"]


def test_rehash_reads_and_force_embeds_again(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    path = folder / "cat/0.png"
    stat, size = path.stat(), len(path.read_bytes())
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1  # in the checksum after the last chunk, which Pillow does not read
    path.write_bytes(changed)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert len(changed) == size
    assert counts(run(folder)) == (9, 0, 9, 0)
    assert counts(run(folder, rehash=True)) == (9, 1, 8, 0)
    assert counts(run(folder, force=True)) == (9, 9, 0, 0)
    assert engine.pictures == 9 + 1 + 9


@pytest.mark.parametrize("deleted", ["", "spaces", "spaces/*/shards"])
def test_what_is_deleted_while_it_runs_is_told_and_embedded_next_time(
    folder: Path, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch, deleted: str
) -> None:
    monkeypatch.setattr(runner, "SEAL_ROWS", 2)
    workspace, lost = folder.parent / "workspace", []

    def advance(*_: int) -> None:  # called between two seals
        shards = list(workspace.glob("spaces/*/shards/*.h5"))
        if shards and not lost:
            lost.append(2 * len(shards))
            for path in list(workspace.glob(deleted)) if deleted else [workspace]:
                shutil.rmtree(path)

    with pytest.raises(UserError, match=r"of them are gone: .*deleted or damaged.*again") as told:
        run(folder, progress=Progress(advance=advance))
    assert f", {lost[0]} of them" in str(told.value)
    assert counts(run(folder)) == (9, lost[0], 9 - lost[0], 0)


def test_a_shard_that_is_cut_short_while_it_runs_is_told_and_costs_its_rows_only(
    folder: Path, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder / "cat", folder.parent / "cats" / "cat")
    run(folder.parent / "cats")
    (shard,) = (folder.parent / "workspace").glob("spaces/*/shards/*.h5")

    def embed(pixels: np.ndarray) -> np.ndarray:
        os.truncate(shard, 1_000) if shard.exists() else None
        return CountingEngine.embed(engine, pixels)

    monkeypatch.setattr(engine, "embed", embed)
    with (
        pytest.warns(UserWarning, match="Damaged shard"),
        pytest.raises(UserError, match=r", 5 of them are gone"),
    ):
        run(folder)
    assert counts(run(folder)) == (9, 5, 4, 0)


def test_the_same_picture_twice_is_embedded_once(folder: Path, engine: CountingEngine) -> None:
    shutil.copy(folder / "cat/0.png", folder / "cat/copy.png")
    assert counts(run(folder)) == (10, 9, 1, 0)
    assert engine.pictures == 9


def test_every_hostile_file_is_a_row_or_a_counted_reject(folder: Path, engine: CountingEngine) -> None:
    expected = sample_pictures.write_all(folder / "cat/all")
    special = sample_pictures.write_special(folder / "dog/special")
    bad = [name for name, reason in expected.items() if reason is not None]
    good = len(expected) - len(bad)
    summary = run(folder)
    assert summary.files == 9 + len(expected) + len(special)
    assert summary.rejected == len(bad) + len(special)
    assert summary.embedded == engine.pictures <= 9 + good
    assert counts(summary)[1] + summary.cached == 9 + good
    assert {Path(r.path).name for r in summary.rejects} == {*bad, *special}
    # The second run knows the rejects by their bytes, computes nothing, and reports them all the same.
    again = run(folder)
    assert (again.files, again.embedded, again.rejected) == (summary.files, 0, summary.rejected)
    assert {r.path: r.reason for r in again.rejects} == {r.path: r.reason for r in summary.rejects}


def test_a_picture_over_the_limit_is_tried_again_under_another(folder: Path, engine: CountingEngine) -> None:
    workspace, backbone = Workspace(folder.parent / "w"), Backbone.of("mobilenet_v2", "none", 32)
    tight, wide = Decoding(max_pixels=100), Decoding(max_pixels=10_000)
    assert counts(extract(workspace, folder, backbone, tight, Options())) == (9, 0, 0, 9)
    assert counts(extract(workspace, folder, backbone, wide, Options())) == (9, 9, 0, 0)


def test_parts_of_several_machines_join(folder: Path, engine: CountingEngine) -> None:
    parts = [run(folder, shard=(i, 3)) for i in (1, 2, 3)]
    assert sum(part.files for part in parts) == sum(part.embedded for part in parts) == 9
    workspace = Workspace(folder.parent / "workspace")
    assert len(workspace.datasets()) == 3
    assert counts(run(folder)) == (9, 0, 9, 0)
    assert engine.pictures == 9
    assert workspace.datasets() == ["pictures"]


def test_a_name_belongs_to_one_folder(folder: Path, engine: CountingEngine) -> None:
    run(folder)
    other = make_pictures(folder.parent / "other" / "pictures", {"a": 2, "b": 2})
    with pytest.raises(UserError, match=r"Pass --name"):
        run(other, folder.parent / "workspace")
    assert counts(run(other, folder.parent / "workspace", name="second")) == (4, 4, 0, 0)


@pytest.mark.parametrize(
    ("counts_by_class", "told"), [({"only": 3}, "one class"), ({"cat": 3, "dog": 1}, "single file")]
)
def test_poor_data_is_extracted_with_a_note(
    tmp_path: Path, engine: CountingEngine, counts_by_class: dict, told: str
) -> None:
    notes: list[str] = []
    folder = make_pictures(tmp_path / "poor", counts_by_class)
    extract(
        Workspace(tmp_path / "w"),
        folder,
        Backbone.of("mobilenet_v2", "none", 32),
        Decoding(),
        Options(),
        progress=Progress(note=notes.append),
    )
    assert any(told in note for note in notes), notes


def test_ctrl_c_seals_what_is_done(
    folder: Path, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(done: int, rejected: int) -> None:
        if engine.pictures >= 4:
            raise KeyboardInterrupt

    arguments = (
        Workspace(folder.parent / "workspace"),
        folder,
        Backbone.of("mobilenet_v2", "none", 32),
        Decoding(),
    )
    with pytest.raises(KeyboardInterrupt):
        extract(*arguments, Options(workers=1), progress=Progress(advance=interrupt))
    done = engine.pictures
    assert 4 <= done < 9
    assert counts(run(folder)) == (9, 9 - done, done, 0)


def test_two_extractions_at_once_agree(folder: Path, engine: CountingEngine) -> None:
    summaries: list[Summary] = []
    threads = [threading.Thread(target=lambda: summaries.append(run(folder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(summaries) == 4 and all(s.files == 9 and s.rejected == 0 for s in summaries)
    assert counts(run(folder)) == (9, 0, 9, 0)


# --- the real engine, in processes of its own ------------------------------------------------------------------


def command(folder: Path, *words: str, workspace: Path, **environment: str) -> list[str]:
    return [
        sys.executable,
        str(ROOT / "cli.py"),
        "extract",
        str(folder),
        "--input-size",
        "64",
        "--workspace",
        str(workspace),
        *words,
    ]


@pytest.fixture
def many_flowers(flowers: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "flowers"
    for label in sorted(p for p in flowers.iterdir() if p.is_dir()):
        (folder / label.name).mkdir(parents=True)
        for picture in sorted(label.iterdir())[:30]:
            (folder / label.name / picture.name).symlink_to(picture)
    return folder


def test_kill_costs_only_the_unsealed_rows(many_flowers: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    # The same command line, killed in its third round of seals: each is of rows, thumbnails and facts.
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from cache.storage.store import Store
from extract.embedding import runner
runner.SEAL_ROWS, add, seals = 25, Store.add, []
def mortal(*arguments):
    seals.append(1)
    if len(seals) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return add(*arguments)
Store.add = mortal
import cli
sys.exit(cli.main({command(many_flowers, workspace=workspace)[2:]!r}))
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    sealed = sum(len(store) for store in Workspace(workspace).spaces())
    assert 0 < sealed < 150
    done = subprocess.run(
        [*command(many_flowers, workspace=workspace), "--json"], capture_output=True, text=True, check=True
    )
    summary = json.loads(done.stdout)
    assert (summary["files"], summary["cached"], summary["embedded"]) == (150, sealed, 150 - sealed)
    checked = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "cache", "verify", "--recompute", "5", "--json"],
        env=os.environ | {"COLDFRAME_WORKSPACE": str(workspace)},
        capture_output=True,
        text=True,
    )
    report = json.loads(checked.stdout)
    assert (checked.returncode, report["damaged"], report["differing"]) == (0, [], 0)


def test_two_processes_share_a_cache(few_flowers: Path, tmp_path: Path) -> None:
    line = [*command(few_flowers, workspace=tmp_path / "w"), "--json"]
    both = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for child in both:
        summary = json.loads(child.communicate()[0])
        assert (child.returncode, summary["files"], summary["rejected"]) == (0, 40, 0)
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["cached"] == 40


def test_a_full_disk_is_told_and_costs_nothing_done(few_flowers: Path, tmp_path: Path) -> None:
    line = " ".join(command(few_flowers, workspace=tmp_path / "w"))
    # No file may grow over 100 blocks of 1 KiB, so the shard of 40 rows (200 KiB) cannot be written.
    full = subprocess.run(["bash", "-c", f"ulimit -f 100; exec {line}"], capture_output=True, text=True)
    assert full.returncode == 1
    assert "error: Could not write" in full.stderr and "no space left" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list((tmp_path / "w").rglob(".tmp-*"))
    done = subprocess.run([*line.split(" "), "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["embedded"] == 40
    assert runner.SEAL_SECONDS == 10.0


@pytest.mark.parametrize("where", ["beside", "inside", "elsewhere"])
def test_a_survey_is_a_table_that_embeds_nothing_new(
    folder: Path, engine: CountingEngine, tmp_path: Path, where: str
) -> None:
    workspace = Workspace(tmp_path / "w")
    run(folder, workspace.root)
    seen = engine.pictures
    place = {"beside": tmp_path, "inside": folder, "elsewhere": tmp_path / "other"}[where]
    place.mkdir(exist_ok=True)
    for name in ("labels.csv", "labels.tsv"):
        found = survey(workspace, folder, None, Progress())
        found.write_table(place / name)
        summary = run(place / name, workspace.root, name=name)
        assert (summary.embedded, summary.cached, summary.rejected) == (0, 9, 0)
        table = workspace.manifest(name)
        assert engine.pictures == seen and workspace.state()["dataset"] == name
        assert [table.classes[code] for code in table.label] == [
            Path(path).parent.name for path in table.paths
        ]
        assert (table.key == found.manifest.key).all() and table.columns == {}


def test_a_table_and_a_folder_never_share_a_name(
    folder: Path, engine: CountingEngine, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "w")
    pictures_csv, labels = tmp_path / "pictures.csv", folder / "labels.csv"
    first = sorted(folder.glob("*/*"))[0]
    pictures_csv.write_text(f"path,label\n{first},x\n")
    labels.write_text(f"path,label,patient\n{first.relative_to(folder)},x,p7\n")
    assert run(folder, workspace.root).dataset == "pictures"
    assert run(labels, workspace.root).dataset == "labels"
    assert workspace.manifest("labels").columns == {"patient": ["p7"]}
    for source, name in (
        (pictures_csv, None),
        (pictures_csv, "labels"),
        (labels, "pictures"),
        (folder, "labels"),
    ):
        with pytest.raises(UserError, match="Pass --name"):
            run(source, workspace.root, name=name)
    assert len(workspace.manifest("pictures")) == 9
    assert run(labels, workspace.root).cached == 1


def test_a_linked_folder_is_its_own_data_set_again(
    folder: Path, engine: CountingEngine, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(folder)
    workspace = Workspace(tmp_path / "w")
    assert run(tmp_path / "link", workspace.root).embedded == 9
    assert run(tmp_path / "link", workspace.root).cached == 9


def told(folder: Path, *words: str, workspace: str = "my workspace") -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    place = ("--workspace", str(folder.parent / workspace)) if workspace else ()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        network = ("--backbone", "mobilenet_v2", "--weights", "none", "--input-size", "32")
        assert cli.main(["extract", str(folder), *network, *place, *words]) == 0, err.getvalue()
    return out.getvalue(), err.getvalue()


def test_it_ends_with_the_classes_and_the_next_step(
    folder: Path, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "cat/notes.txt").write_text("no picture")
    first, last = told(folder)[1].splitlines()[-2:]
    assert first == "2 classes: cat 5, dog 4"
    assert last == f"next: `python cli.py fit-head --workspace '{folder.parent / 'my workspace'}'`"
    monkeypatch.chdir(folder.parent)
    monkeypatch.delenv("COLDFRAME_WORKSPACE", raising=False)
    assert told(folder, workspace="")[1].splitlines()[-1] == "next: `python cli.py fit-head`"
    out, err = told(folder, "--json")
    assert json.loads(out)["classes"] == {"cat": 5, "dog": 4} and "next:" not in err
    assert "next:" not in told(folder, "--quiet")[1] + told(folder, "--shard", "1/2")[1]


def test_of_many_classes_it_names_the_first(folder: Path, engine: CountingEngine) -> None:
    make_pictures(folder, {f"class {number:02}": 1 for number in range(14)})
    line = told(folder)[1].splitlines()[-2]
    assert line.startswith("16 classes: cat 5, class 00 1, class 01 1, ") and line.endswith(", and 6 more")


@pytest.mark.parametrize("kind", ["one folder", "no labels"])
def test_what_has_no_classes_is_told_of_predict_and_does_not_become_current(
    folder: Path, engine: CountingEngine, kind: str
) -> None:
    place = folder.parent / "my workspace"
    new = folder.parent / "new"
    shutil.copytree(folder / "cat", new / "all")
    if kind == "no labels":
        new = folder.parent / "new.csv"
        new.write_text("path,label\nnew/all/0.png,\nnew/all/1.png,\n")
    said = told(new)[1].splitlines()[-2:]
    assert said[0] == (
        "new does not become the current data set: its pictures "
        f"{'are of one class, all 5' if kind == 'one folder' else 'have no labels'}"
    )
    assert f"predict {new if kind == 'one folder' else 'FOLDER'} --workspace" in said[1]
    assert not Workspace(place).state()
    with pytest.raises(UserError, match=r"without two classes, .*--dataset"):
        Workspace(place).load()
    told(folder)
    before = Workspace(place).state()
    told(new)
    assert Workspace(place).state() == before and before["dataset"] == "pictures"


@pytest.mark.skipif("HEIF" not in decoding.FORMATS, reason="pillow-heif is not installed: coldframe[heic]")
def test_pictures_of_phones_are_tried_again_once_they_can_be_read(
    folder: Path, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "cat/IMG_0001.HEIC").write_bytes(sample_pictures.encode(sample_pictures.scene(), "HEIF"))
    with monkeypatch.context() as without:
        without.setattr(decoding, "FORMATS", decoding.FORMATS[:-1])
        without.setattr(decoding, "_ACCEPT", decoding._ACCEPT[:-1])
        (reject,) = run(folder).rejects
        assert str(reject) == "cat/IMG_0001.HEIC: HEIC: pip install 'coldframe[heic]'"
        assert counts(run(folder)) == (10, 0, 9, 1)
    assert counts(run(folder)) == (10, 1, 9, 0)
