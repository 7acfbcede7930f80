"""The pages and the endpoints of `serve`, as a table of routes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classify.commands.serve.corrections import Corrections
from classify.commands.serve.findings import Decisions
from classify.commands.serve.loading import Loading
from classify.pages.serving.guards import MOST
from classify.report.html.environment import render
from extract.pictures.decoding import RejectedImage

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

TABS = {"/": "Try it", "/report": "Report", "/map": "Map", "/audit": "Audit"}
SHOWN = 200  # findings on the page
# A page of the run brings its own scripts, and runs apart from everything here: it cannot even use the cookie.
APART = (
    "sandbox allow-scripts; default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


@dataclass(frozen=True)
class Shown:
    """What the pages are about."""

    title: str  # as "logreg on flowers"
    dataset: str
    loading: Loading
    corrections: Corrections
    decisions: Decisions | None  # None where there was no audit
    files: dict[str, tuple[Path | None, str]]  # page -> its file, if there is one, and how to make it


def routes(shown: Shown) -> list[Route]:
    """The routes, for `classify.pages.serving.app.make_app`."""
    from anyio import CapacityLimiter
    from anyio.to_thread import run_sync
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
    from starlette.routing import Route

    limiters: list[CapacityLimiter] = []

    def page(template: str, tab: str, **context: Any) -> Response:
        return HTMLResponse(render(template, tabs=TABS, tab=tab, shown=shown, **context))

    async def home(request: Request) -> Response:
        return page("serve.html.j2", "/", most=MOST)

    async def framed(request: Request) -> Response:
        tab = request.url.path
        file, how = shown.files[tab]
        return page("framed.html.j2", tab, there=file is not None and file.exists(), how=how)

    async def inner(request: Request) -> Response:
        file, _ = shown.files.get("/" + request.path_params["name"], (None, ""))
        try:
            found = file.read_bytes() if file else None
        except OSError:
            found = None
        if found is None:
            return PlainTextResponse("The page is not there any more.\n", 404)
        return HTMLResponse(found, headers={"content-security-policy": APART})

    async def audit(request: Request) -> Response:
        found = shown.decisions.findings if shown.decisions else []
        return page("findings.html.j2", "/audit", findings=found[:SHOWN], total=len(found))

    async def state(request: Request) -> Response:
        return JSONResponse(shown.loading.state())

    async def predict(request: Request) -> Response:
        data = await request.body()
        answerer = await run_sync(shown.loading.get)
        limiters[:] = limiters or [CapacityLimiter(answerer.classifier.lanes)]
        try:
            found = await run_sync(answerer.answer, data, limiter=limiters[0])
        except RejectedImage as error:
            return _rejected(error)
        return JSONResponse(found)

    async def correct(request: Request) -> Response:
        asked, data = request.query_params, await request.body()
        label, answer = asked.get("label", ""), asked.get("answer", "")
        try:
            count = await run_sync(shown.corrections.add, data, label, answer)
        except RejectedImage as error:
            return _rejected(error)
        return JSONResponse({"corrections": count, "file": str(shown.corrections.file)})

    async def decide(request: Request) -> Response:
        if shown.decisions is None:
            return JSONResponse({"error": "Expected an audit, found none. Run `audit`."}, 404)
        key, kind, decision = (request.query_params.get(name, "") for name in ("key", "kind", "decision"))
        return JSONResponse(await run_sync(shown.decisions.decide, key, kind, decision))

    return [
        Route("/", home),
        Route("/report", framed),
        Route("/map", framed),
        Route("/audit", audit),
        Route("/inner/{name}", inner),
        Route("/api/state", state),
        Route("/api/predict", predict, methods=["POST"]),
        Route("/api/corrections", correct, methods=["POST"]),
        Route("/api/decisions", decide, methods=["POST"]),
    ]


def _rejected(error: RejectedImage) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse({"error": f"Expected a picture, but: {error.reason}. Try another file."}, 422)
