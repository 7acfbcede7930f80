"""The guards, asked by http.client over a real socket: what a browser or another program may do, and what not."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cache.errors import UserError
from cache.manifest import Manifest
from classify.pages.serving.app import make_app
from classify.pages.serving.guards import MOST
from classify.pages.serving.pictures import Pictures
from classify.pages.serving.server import Listening, listen, serving
from extract.pictures.files import hashed

starlette = pytest.importorskip("starlette")


def of_file(root: Path, name: str) -> Manifest:
    """A manifest of one hashed picture."""
    key = np.frombuffer(hashed(root / name).key, np.uint8)[None]
    none = np.zeros(1, np.int64)
    return Manifest(str(root), ("a",), [name], np.zeros(1, np.int32), np.zeros(1, np.uint8), key, none, none)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a.jpg and b.jpg are."""
    folder = tmp_path_factory.mktemp("pictures")
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    exif[0x0112] = 6
    for name, colour in {"a.jpg": "red", "b.jpg": "green"}.items():
        Image.new("RGB", (60, 30), colour).save(folder / name, exif=exif, comment=b"a secret")
    return folder


@pytest.fixture(scope="module")
def listening(folder: Path) -> Iterator[Listening]:
    """A server with a page that tells how many bytes it got."""
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def home(request: Request) -> JSONResponse:
        return JSONResponse({"bytes": len(await request.body())})

    async def bad(request: Request) -> JSONResponse:
        raise UserError("Expected better, received worse: try again.")

    pictures = Pictures(of_file(folder, "a.jpg"), of_file(folder, "b.jpg"))
    taken = listen()
    pages = [Route("/", home, methods=["GET", "POST"]), Route("/bad", bad)]
    with serving(make_app(pages, taken.token, pictures=pictures), taken):
        yield taken


def ask(
    to: Listening, path: str = "/", method: str = "GET", body: Any = None, **headers: str
) -> HTTPResponse:
    """Ask with the cookie and the Host of a browser; keyword `Name_x` is the header Name-x, and "" leaves it out."""
    given = {"Host": to.origin[7:], "Cookie": f"coldframe-{to.port}={to.token}", "Origin": to.origin}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = HTTPConnection("127.0.0.1", to.port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    for name, value in given.items():
        if value:
            connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    return connection.getresponse()


def test_a_browser_with_its_cookie_is_answered_and_told_what_it_may(listening: Listening) -> None:
    got = ask(listening, method="POST", body=b"12345")
    assert got.status == 200 and json.load(got) == {"bytes": 5}
    policy = got.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["referrer-policy"] == "no-referrer"
    assert not [name for name in got.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "10.0.0.1:{port}", "", "["])
def test_another_host_is_misdirected(listening: Listening, host: str) -> None:
    assert ask(listening, Host=host.format(port=listening.port)).status in (
        (400, 421) if not host else (421,)
    )


@pytest.mark.parametrize("host", ["localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_the_names_of_this_machine_are_known(listening: Listening, host: str) -> None:
    assert ask(listening, Host=host.format(port=listening.port)).status == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "", "http://localhost"]
)
def test_another_origin_may_not_write(listening: Listening, origin: str) -> None:
    assert ask(listening, method="POST", body=b"1", Origin=origin).status == 403
    assert (
        ask(listening, Origin=origin).status == 200
    )  # nothing is written, and no other page may read the answer


@pytest.mark.parametrize(
    "cookie", ["", "coldframe-1=x", "coldframe-{port}=wrong", "coldframe-{port}=é", "\x01;=;="]
)
@pytest.mark.parametrize(
    "path", ["/", "/static/style.css", "/pictures/" + 64 * "0", "/nothing", "/?token=wrong"]
)
def test_without_the_token_nothing_is_told(listening: Listening, cookie: str, path: str) -> None:
    assert ask(listening, path, Cookie=cookie.format(port=listening.port)).status == 403


def test_the_address_hands_the_token_over_once(listening: Listening) -> None:
    got = ask(listening, listening.address.removeprefix(listening.origin), Cookie="")
    cookie = got.headers["set-cookie"]
    assert got.status == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    page = got.read().decode()
    assert 'url=./"' in page and listening.token not in page
    assert ask(listening, Cookie=cookie.partition(";")[0]).status == 200


def test_a_program_shows_the_token_itself(listening: Listening) -> None:
    bearer = f"Bearer {listening.token}"
    assert ask(listening, method="POST", body=b"1", Cookie="", Origin="", Authorization=bearer).status == 200
    evil = ask(listening, method="POST", body=b"1", Cookie="", Origin="http://evil", Authorization=bearer)
    assert evil.status == 403
    assert ask(listening, Cookie="", Authorization="Bearer wrong").status == 403


def test_33_mib_are_too_many_said_or_not(listening: Listening) -> None:
    assert ask(listening, method="POST", Content_Length=str(33 * 2**20)).status == 413
    assert ask(listening, method="POST", Content_Length="-1").status == 400
    connection = HTTPConnection("127.0.0.1", listening.port, timeout=20)
    headers = {"Cookie": f"coldframe-{listening.port}={listening.token}", "Origin": listening.origin}
    mib = bytes(2**20)
    connection.request("POST", "/", (mib for _ in range(32)), headers, encode_chunked=True)
    assert json.load(connection.getresponse()) == {"bytes": MOST}
    connection.request("POST", "/", (part for part in (*[mib] * 32, b"1")), headers, encode_chunked=True)
    assert connection.getresponse().status == 413


def test_a_client_that_goes_away_harms_nobody(
    listening: Listening, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", listening.port)) as gone:
        cookie = f"coldframe-{listening.port}={listening.token}"
        lines = ["POST / HTTP/1.1", f"Host: {listening.origin[7:]}", f"Origin: {listening.origin}"]
        gone.sendall("\r\n".join([*lines, f"Cookie: {cookie}", "Content-Length: 1000", "", "1"]).encode())
    assert ask(listening).status == 200
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/static/../base.html.j2",
        "/static/%2e%2e%2fstyle.css",
        "/static/..%252fstyle.css",
        "/static/base.html.j2",
        "/pictures/../a.jpg",
        "/pictures/%2e%2e%2fa.jpg",
        "/pictures/a.jpg",
        "/pictures/" + 64 * "0",
    ],
)
def test_no_path_comes_from_a_request(listening: Listening, path: str) -> None:
    assert ask(listening, path).status == 404


def test_a_picture_is_shown_upright_without_its_metadata(
    listening: Listening, folder: Path, tmp_path: Path
) -> None:
    key = hashed(folder / "a.jpg").key.hex()
    got = ask(listening, f"/pictures/{key}?size=large")
    data = got.read()
    assert got.headers["content-type"] == "image/jpeg" and b"secret" not in data
    (tmp_path / "shown.jpg").write_bytes(data)
    with Image.open(tmp_path / "shown.jpg") as shown:
        assert shown.size == (30, 60) and not shown.getexif() and "comment" not in shown.info
    assert ask(listening, f"/pictures/{key}?size=huge").status == 404


def test_a_picture_that_changed_is_not_shown(listening: Listening, folder: Path) -> None:
    key = hashed(folder / "b.jpg").key.hex()
    Image.new("RGB", (60, 30), "blue").save(folder / "b.jpg")
    got = ask(listening, f"/pictures/{key}")
    assert got.status == 404 and b"changed since" in got.read()


def test_errors_of_people_are_told_in_words(listening: Listening) -> None:
    got = ask(listening, "/bad")
    assert got.status == 400 and json.load(got)["error"].startswith("Expected better")


def test_a_port_in_use_and_another_host_are_refused(listening: Listening) -> None:
    with pytest.raises(UserError, match="port that is free at"):
        listen(port=listening.port)
    with pytest.raises(UserError, match="--expose"):
        listen("0.0.0.0")
    with pytest.raises(UserError, match="free"):
        listen(port=99_999)
    with listen("0.0.0.0", expose=True).socket as taken:
        assert taken.getsockname()[0] == "0.0.0.0"


def test_where_it_is_exposed_numbers_are_taken_and_names_are_not() -> None:
    taken = listen("0.0.0.0", expose=True)
    with serving(make_app([], taken.token, anywhere=True), taken):
        assert ask(taken, "/static/style.css", Host=f"192.168.1.5:{taken.port}").status == 200
        assert ask(taken, "/static/style.css", Host=f"evil.example:{taken.port}").status == 421
