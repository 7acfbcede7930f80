"""A server in this process: one address on this machine, and an end when Ctrl-C says so."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from secrets import token_urlsafe
from threading import Thread
from typing import TYPE_CHECKING

from cache.errors import UserError
from classify.pages.serving.guards import LOOPBACK, App

if TYPE_CHECKING:
    import uvicorn

HERE = LOOPBACK[0]
EXPOSED = "warning: other machines can reach this address, and what is sent is not encrypted"
EVERYWHERE = ("0.0.0.0", "::", "")  # addresses that stand for all of a machine's


def new_token() -> str:
    """Make a token that nobody can guess."""
    return token_urlsafe(24)


@dataclass(frozen=True)
class Listening:
    """A socket that takes connections, and the token of this start."""

    socket: socket.socket
    token: str

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.socket.getsockname()[1])

    @property
    def origin(self) -> str:
        """The address without the token."""
        host = str(self.socket.getsockname()[0])
        host = HERE if host in EVERYWHERE else host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def address(self) -> str:
        """What a person opens."""
        return f"{self.origin}/?token={self.token}"


def listen(host: str | None = None, port: int = 0, *, expose: bool = False) -> Listening:
    """Take a port.

    Parameters
    ----------
    host : str, optional
        Default: this machine alone.
    port : int
        0: any that is free.
    expose : bool
        Allow a `host` that other machines reach.

    Raises
    ------
    UserError
        For another host without `expose`, and a port or an address that cannot be had.
    """
    host = host or HERE
    if host not in LOOPBACK and not expose:
        raise UserError(
            f"Expected --host {HERE}, which other machines cannot reach, received {host}. Pass --expose as well, and "
            "whoever has the address can see the pictures: what is sent is not encrypted."
        )
    try:
        if not 0 <= port < 2**16:
            raise OverflowError("there is no such port")
        (family, kind, number, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        taken = socket.socket(family, kind, number)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen(128)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"Expected a port that is free at {host}, received {port}: {getattr(error, 'strerror', error)}. Name "
            "another with --port, or leave it out: any that is free is taken."
        ) from error
    return Listening(taken, new_token())


def serve(app: App, listening: Listening) -> None:
    """Answer until Ctrl-C, which ends it without a traceback."""
    with contextlib.suppress(KeyboardInterrupt):
        _server(app).run([listening.socket])


@contextlib.contextmanager
def serving(app: App, listening: Listening) -> Iterator[str]:
    """Answer in a thread as long as the context is open; gives the address."""
    server = _server(app)
    thread = Thread(target=server.run, args=([listening.socket],), daemon=True)
    thread.start()
    try:
        yield listening.address
    finally:
        server.should_exit = True
        thread.join()


def _server(app: App) -> uvicorn.Server:
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=2,
        timeout_keep_alive=30,
    )
    return uvicorn.Server(config)
