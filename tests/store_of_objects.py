"""A real server of S3 on this machine, and one before it that fails as real ones do."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cache.storage.remote.objects import Objects

SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"
)
Fault = Callable[["Failing", str, str], bool]  # method and path; True where it has answered itself


class Failing(BaseHTTPRequestHandler):
    """Hands requests on to the real server, unless `fault` answers them."""

    protocol_version = "HTTP/1.1"
    behind: int
    fault: Fault | None = None
    asked: list[tuple[str, str]]

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path))
        if self.fault and type(self).fault(self, self.command, self.path):  # type: ignore[misc]
            return
        status, headers, data = self.forwarded(body)
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(name, value)
        length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any

    def forwarded(self, body: bytes = b"") -> tuple[int, list[tuple[str, str]], bytes]:
        """What the real server answers."""
        behind = HTTPConnection("127.0.0.1", self.behind)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        behind.request(self.command, self.path, body, headers)
        answer = behind.getresponse()
        found = answer.status, answer.getheaders(), answer.read()
        behind.close()
        return found

    def refuse(self, status: int, body: bytes = b"") -> bool:
        """Answer with an error."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return True

    def cut(self, then: Callable[[], object] = lambda: None) -> bool:
        """Send half of what was asked for, do something, and drop the connection."""
        status, headers, data = self.forwarded()
        self.send_response(status)
        for name, value in headers:
            if name.lower() in ("etag", "last-modified", "content-range", "accept-ranges"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        then()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
        return True

    def log_message(self, *args: object) -> None:
        pass


class Server:
    """The address of a server that can be made to fail, and what it was asked."""

    def __init__(self, port: int, handler: type[Failing]) -> None:
        self.endpoint, self._handler = f"http://127.0.0.1:{port}", handler

    @property
    def asked(self) -> list[tuple[str, str]]:
        return self._handler.asked

    def fails(self, fault: Fault | None) -> None:
        """Have requests fail, or no more."""
        self._handler.fault = staticmethod(fault) if fault else None  # type: ignore[assignment]


@contextmanager
def served() -> Iterator[Server]:
    """Run both servers while the block runs."""
    from moto.server import ThreadedMotoServer

    real = ThreadedMotoServer(port=0, verbose=False)
    real.start()
    _, port = real.get_host_and_port()
    handler = type("Handler", (Failing,), {"behind": port, "asked": []})
    before = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    before.daemon_threads = True
    thread = threading.Thread(target=before.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Server(before.server_port, handler)
    finally:
        before.shutdown()
        thread.join()
        before.server_close()
        real.stop()


def upload(folder: Path, address: str) -> None:
    """Put all files of a folder there."""
    objects = Objects(address)
    for path in folder.rglob("*"):
        if path.is_file():
            objects.put(path.relative_to(folder).as_posix(), path.read_bytes())
