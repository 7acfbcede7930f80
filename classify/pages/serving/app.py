"""An app: pages, what they need beside them, and the guards before them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from classify.pages.serving.guards import App, Guard, TooLarge
from classify.pages.serving.pictures import Pictures
from classify.report.html.environment import TEMPLATES
from extract.pictures.decoding import RejectedImage

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

KINDS = {".css": "text/css", ".js": "text/javascript"}


def make_app(
    pages: Sequence[Route], token: str, *, pictures: Pictures | None = None, anywhere: bool = False
) -> App:
    """Put pages behind the guards, with `/static/NAME` and `/pictures/KEY` beside them.

    Parameters
    ----------
    pages : sequence of Starlette routes
        Their functions may raise UserError: it is answered with 400 and its text, as {"error": "..."}.
    token : str
        That of this start, as by `server.new_token`.
    pictures : Pictures, optional
        Those that pages may show, by key; `?size=large` for the whole picture instead of its small middle square.
    anywhere : bool
        Answer under addresses other than those of this machine; see `Guard`.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import ClientDisconnect
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    files = {each.name: each for each in TEMPLATES.iterdir() if each.suffix in KINDS}
    shown = pictures or Pictures()

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            return PlainTextResponse("There is no such file.\n", 404)
        return Response(files[name].read_bytes(), media_type=KINDS[PurePath(name).suffix])

    async def picture(request: Request) -> Response:
        key, size = request.path_params["key"], request.query_params.get("size", "small")
        try:
            made = await run_in_threadpool(shown.jpeg, key, size)
        except KeyError:
            return PlainTextResponse("No picture is known by this key.\n", 404)
        except RejectedImage as error:
            return PlainTextResponse(f"The picture is not there: {error.reason}.\n", 404)
        return Response(made, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    async def refused(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 413 if isinstance(error, TooLarge) else 400)

    handlers: dict[Any, Any] = dict.fromkeys((UserError, TooLarge, ClientDisconnect), refused)
    beside = [Route("/static/{name}", static), Route("/pictures/{key}", picture)]
    return Guard(Starlette(routes=[*pages, *beside], exception_handlers=handlers), token, anywhere)


def check_installed() -> None:
    """Raise UserError where the packages that pages are served by are missing."""
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"Expected {' and '.join(missing)}, by which pages are served, found none. Run "
            "`pip install 'coldframe[serve]'`."
        )
