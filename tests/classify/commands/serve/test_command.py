"""`serve`, asked by http.client: it says what `predict` says, and keeps what people say."""

import csv
import io
import json
import shutil
import socket
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.audit.command import audit
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.commands.predict.command import predict
from classify.commands.predict.options import Asked
from classify.commands.serve.command import make_pages
from classify.commands.serve.corrections import Corrections
from classify.pages.serving.server import Listening, listen, serving
from extract.settings import Options
from extract.sources.tables.table import read_table
from tests.classify.several import prepare

pytest.importorskip("starlette", reason="pip install 'coldframe[serve]'")
KERAS = Options(engine="keras")


class Place(NamedTuple):
    """Where a run is served, and what of."""

    listening: Listening
    workspace: Workspace

    def ask(self, path: str, data: bytes | None = None) -> tuple[int, Any]:
        """Post data as a program does, or get what is there."""
        connection = HTTPConnection("127.0.0.1", self.listening.port, timeout=120)
        token = {"Authorization": f"Bearer {self.listening.token}"}
        connection.request("GET" if data is None else "POST", path, data, token)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else text.decode()

    @property
    def pictures(self) -> list[Path]:
        """All pictures of the data set."""
        return sorted((self.workspace.root.parent / "stripes").rglob("*.png"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """150 pictures of stripes, of which a wrong label was found, served with a head on one network."""
    folder = tmp_path_factory.mktemp("serve")
    low, *_ = prepare(folder, 50)
    workspace = Workspace(folder / ".coldframe")
    fit_heads(workspace, FitOptions(models=["logreg"], curve=False), space=low.id)
    audit(workspace, space=low.id)
    listening = listen()
    app, _ = make_pages(workspace, listening, options=KERAS)
    with serving(app, listening):
        yield Place(listening, workspace)


def test_it_says_what_predict_says(place: Place) -> None:
    picture = place.pictures[0]
    asked = Asked(sets=Fraction(9, 10), evidence=8)
    (told,) = predict(place.workspace, [picture], asked=asked, options=KERAS).records()
    status, found = place.ask("/api/predict", picture.read_bytes())
    assert status == 200 and found["run"].endswith("fit-head")
    assert found["classes"][0]["label"] == told["label"]
    assert found["classes"][0]["probability"] == pytest.approx(told["probability"], abs=1e-4)
    assert sorted(found["set"]) == sorted(told["set"]) and found["unknown"] == told["unknown"]
    assert found["typical"] == pytest.approx(told["typical"], abs=1e-4) and found["level"] == 0.9
    assert len(found["nearest"]) == 8 and found["nearest"][0]["similarity"] == pytest.approx(
        told["similarity"], abs=1e-3
    )
    assert Path(told["near"]).name == Path(found["nearest"][0]["path"]).name


def test_a_near_copy_in_the_training_part_is_named(place: Place) -> None:
    _, found = place.ask("/api/predict", place.pictures[0].read_bytes())
    nearest = found["nearest"][0]
    original = place.workspace.root.parent / "stripes" / nearest["path"]
    _, again = place.ask("/api/predict", original.read_bytes())
    assert nearest["key"] in [each["key"] for each in again["copies"]] and nearest["key"] == again["key"]


def zipped() -> bytes:
    """A real zip, with a picture inside."""
    file, picture = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(picture, "PNG")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("picture.png", picture.getvalue())
    return file.getvalue()


@pytest.mark.parametrize("data", [b"", zipped(), b"\xff\xd8\xff\xe0" + bytes(100)])
def test_what_is_no_picture_is_refused_in_words(place: Place, data: bytes) -> None:
    for path in ("/api/predict", "/api/corrections?label=a"):
        status, told = place.ask(path, data)
        assert status == 422 and told["error"].startswith("Expected a picture, but: ")


def test_a_decompression_bomb_is_refused_by_its_header(place: Place, tmp_path: Path) -> None:
    Image.new("1", (9_000, 9_000)).save(tmp_path / "bomb.png")
    status, told = place.ask("/api/predict", (tmp_path / "bomb.png").read_bytes())
    assert status == 422 and "too large" in told["error"]


def test_fifty_at_once_are_answered(place: Place) -> None:
    data = [picture.read_bytes() for picture in place.pictures[:50]]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda each: place.ask("/api/predict", each), data))
    assert {status for status, _ in answers} == {200}
    alone = [place.ask("/api/predict", each)[1] for each in data[:3]]
    assert [found for _, found in answers[:3]] == alone


def test_corrections_are_a_table_that_extract_reads(place: Place) -> None:
    one, two = (picture.read_bytes() for picture in place.pictures[:2])
    _, kept = place.ask("/api/corrections?label=wide&answer=thin", one)
    assert kept["corrections"] == 1
    place.ask("/api/corrections?label=%3Dnew%20class&answer=thin", two)
    status, kept = place.ask("/api/corrections?label=broad&answer=thin", one)  # the person thought again
    assert status == 200 and kept["corrections"] == 2
    found = read_table(Path(kept["file"])).manifest
    assert [found.classes[row] for row in found.label] == ["=new class", "broad"]
    assert (Path(kept["file"]).parent / found.paths[1]).read_bytes() == one


@pytest.mark.parametrize("label", ["", "%20", "a%0Ab", 201 * "x"])
def test_what_is_no_label_is_refused(place: Place, label: str) -> None:
    status, told = place.ask(f"/api/corrections?label={label}", place.pictures[0].read_bytes())
    assert status == 400 and told["error"].startswith("Expected a label of 1 to 200 letters")


def test_rows_of_other_programs_stay(place: Place) -> None:
    data = [picture.read_bytes() for picture in place.pictures[3:5]]
    file = Path(place.ask("/api/corrections?label=a", data[0])[1]["file"])
    file.write_text("label;path\n")
    status, told = place.ask("/api/corrections?label=a", data[0])
    assert (
        status == 400 and "another program changed it" in told["error"] and file.read_text() == "label;path\n"
    )
    file.write_text("label,path,mine\nx,other.jpg,1\n")
    assert place.ask("/api/corrections?label=b", data[1])[1]["corrections"] == 2
    rows = list(csv.DictReader(file.open()))
    assert rows[0] == {"label": "x", "path": "other.jpg", "mine": "1"} and rows[1]["label"] == "b"
    file.unlink()


def test_a_full_disk_is_told_and_nothing_is_lost(place: Place, tiny_disk: Path) -> None:
    one, two = (picture.read_bytes() for picture in place.pictures[6:8])
    corrections = Corrections(tiny_disk / "corrections", "001-fit-head")
    assert corrections.add(one, "kept", "") == 1
    before = corrections.file.read_bytes()
    (tiny_disk / "filler").write_bytes(bytes(shutil.disk_usage(tiny_disk).free))
    with pytest.raises(UserError, match="no space left"):
        corrections.add(two, "lost", "")
    assert corrections.file.read_bytes() == before
    assert len(list(corrections.file.parent.iterdir())) == 2  # the table and the first picture
    (tiny_disk / "filler").unlink()
    assert corrections.add(two, "given again", "") == 2


@pytest.fixture
def other(place: Place, tmp_path: Path) -> Iterator[tuple[Place, Path]]:
    """A copy of the run, served and loaded: whatever is done to it harms no other test."""
    run = shutil.copytree(next(place.workspace.runs.glob("*-fit-head")), tmp_path / "001-fit-head")
    listening = listen()
    app, _ = make_pages(place.workspace, listening, run=str(run), options=KERAS)
    with serving(app, listening):
        served = Place(listening, place.workspace)
        assert served.ask("/api/predict", place.pictures[0].read_bytes())[0] == 200
        yield served, run


def test_a_run_that_is_replaced_is_told_and_not_taken(other: tuple[Place, Path]) -> None:
    served, run = other
    picture = served.pictures[0].read_bytes()
    before, state = served.ask("/api/predict", picture), served.ask("/api/state")[1]
    assert state["state"] == "ready" and state["replaced"] is False and len(state["classes"]) > 1
    moved = run.rename(run.with_name("moved"))
    shutil.copytree(moved, run, copy_function=shutil.copy)  # with times of its own
    for file in [*run.glob("head.*"), run / "limits.h5"]:
        file.write_bytes(b"of another run")
    assert served.ask("/api/state")[1]["replaced"] is True
    assert served.ask("/api/predict", picture) == before


def test_a_run_that_is_deleted_goes_on_answering(other: tuple[Place, Path]) -> None:
    served, run = other
    picture = served.pictures[0].read_bytes()
    before = served.ask("/api/predict", picture)
    shutil.rmtree(run)
    assert served.ask("/api/state")[1]["replaced"] is True
    assert served.ask("/api/predict", picture) == before
    assert served.ask("/")[0] == 200 and "python cli.py report" in served.ask("/report")[1]
    assert served.ask("/inner/report")[0] == 404


def test_a_client_that_goes_away_in_the_middle_harms_nobody(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    picture, port = place.pictures[0].read_bytes(), place.listening.port
    lines = ["POST /api/predict HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"Authorization: Bearer {place.listening.token}", f"Content-Length: {len(picture)}", "", ""]
    asked = "\r\n".join(lines).encode() + picture
    for sent in (len(asked) - len(picture) // 2, len(asked)):  # while it sends, and while it waits
        with socket.create_connection(("127.0.0.1", port)) as gone:
            gone.sendall(asked[:sent])
    assert place.ask("/api/predict", picture)[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_pages_are_there_and_run_apart(place: Place) -> None:
    for path in ("/", "/report", "/map", "/audit"):
        assert place.ask(path)[0] == 200
    assert "python cli.py map" in place.ask("/map")[1]
    status, report = place.ask("/inner/report")
    assert status == 200 and "<!doctype html>" in report
    assert place.ask("/inner/map")[0] == place.ask("/inner/..%2Frun.json")[0] == 404


def test_a_run_that_cannot_be_loaded_is_told(place: Place, tmp_path: Path) -> None:
    run = shutil.copytree(next(place.workspace.runs.glob("*-fit-head")), tmp_path / "broken")
    for file in run.glob("head.*"):
        file.write_bytes(b"")
    listening = listen()
    app, _ = make_pages(place.workspace, listening, run=str(run), options=KERAS)
    with serving(app, listening):
        other = Place(listening, place.workspace)
        status, told = other.ask("/api/predict", place.pictures[0].read_bytes())
        assert status == 400 and "Expected" in told["error"]
        assert other.ask("/api/state")[1]["state"] == "failed"


def test_there_has_to_be_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Expected a trained head"):
        make_pages(Workspace(tmp_path / ".coldframe").create(), listen())
