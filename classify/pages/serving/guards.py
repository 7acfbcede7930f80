"""What every request has to pass, before any page sees it; and what every answer says to the browser."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST = 32 * 2**20  # bytes of a body
LOOPBACK = ("127.0.0.1", "localhost", "::1")
READING = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}
# Not a redirect: after one that another site began, the browser would keep a strict cookie back.
_ENTER = b'<!doctype html><html lang="en"><meta charset="utf-8"><title>coldframe</title>' + (
    b'<link rel="icon" href="data:,"><meta http-equiv="refresh" content="0;url=./"><p><a href="./">Go on</a></p></html>'
)


class Guard:
    """Stands before an app: Host, token, Origin and size of the body, in this order.

    Parameters
    ----------
    app : ASGI application
    token : str
        In the address of the first visit, where it is exchanged for a cookie; or as `Authorization: Bearer TOKEN`.
    anywhere : bool
        Take addresses other than those of this machine in `Host`, as long as they are numbers: a name can be
        turned to another machine while a page is open, a number cannot.
    """

    def __init__(self, app: App, token: str, anywhere: bool = False) -> None:
        self._app, self._token, self._anywhere = app, token, anywhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand the request on; an app's own headers go before those of `HEADERS`."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # no page needs a WebSocket
            return await send({"type": "websocket.close", "code": 1008})

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                named = {name.lower() for name, _ in own}
                message["headers"] = own + [each for each in HEADERS.items() if each[0] not in named]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        port = scope["server"][1]
        if refusal := self._refusal(scope, headers, port):
            return await _say(answer, *refusal)
        if self._enters(scope):
            cookie = f"{_cookie(port)}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            return await _send(answer, 200, _ENTER, "text/html", [(b"set-cookie", cookie.encode())])
        if int(headers.get("content-length", 0)) > MOST:
            return await _say(answer, 413, str(TooLarge()))
        await self._app(scope, _limited(receive), answer)

    def _refusal(self, scope: Scope, headers: dict[str, str], port: int) -> tuple[int, str] | None:
        """Status and reason for which a request goes no further."""
        if not self._is_here(headers.get("host", ""), port):
            return 421, "Expected an address of this program in Host. Open the address that it printed."
        if headers.get("content-length", "0").strip("0123456789"):
            return 400, "Expected a number of bytes in Content-Length."
        if self._enters(scope):
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        program = scheme.lower() == "bearer" and self._is_token(given)
        if not program and not self._is_token(_crumb(headers.get("cookie", ""), _cookie(port))):
            return 403, "Expected the token of this start. Open the whole address that the program printed."
        if scope["method"] in READING:
            return None
        origin = headers.get("origin")
        if origin != f"http://{headers['host']}" and not (program and origin is None):
            return 403, "Expected a page of this program to ask, received a request from elsewhere."
        return None

    def _is_here(self, host: str, port: int) -> bool:
        try:
            found = urlsplit(f"//{host}")
            name, given = found.hostname or "", found.port or 80
        except ValueError:
            return False
        if given != port or found.username is not None or found.path:
            return False
        return name in LOOPBACK or (self._anywhere and _is_number(name))

    def _enters(self, scope: Scope) -> bool:
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        return scope["method"] == "GET" and scope["path"] == "/" and self._is_token(asked[0])

    def _is_token(self, given: str) -> bool:
        return compare_digest(given.encode(), self._token.encode())


class TooLarge(Exception):
    """A body that goes on after `MOST` bytes: raised to whoever reads it."""

    def __str__(self) -> str:
        return f"Expected at most {MOST // 2**20} MiB, received more. Send a smaller picture."


def _limited(receive: Receive) -> Receive:
    """Count what arrives, as a body may have no Content-Length."""
    got = 0

    async def next_part() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > MOST:
            raise TooLarge
        return message

    return next_part


def _cookie(port: int) -> str:
    """Cookies are shared by all ports of a machine: two programs need two names."""
    return f"coldframe-{port}"


def _crumb(cookies: str, name: str) -> str:
    try:
        found = SimpleCookie(cookies).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _say(send: Send, status: int, why: str) -> None:
    await _send(send, status, f"{why}\n".encode(), "text/plain")


async def _send(
    send: Send, status: int, body: bytes, kind: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    described = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": described + (headers or [])})
    await send({"type": "http.response.body", "body": body})
