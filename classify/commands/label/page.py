"""The page: what it asks of the server, and what it is answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from classify.commands.label.order import RANDOM, TURN
from classify.commands.label.questions import Question
from classify.commands.label.session import Session, to_json
from classify.report.html.environment import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route


def routes(session: Session, dataset: str) -> list[Route]:
    """The page at `/`, and what it sends: an answer, several at once, one taken back."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.routing import Route

    async def page(request: Request) -> Response:
        file, turn = session.labels.path.name, TURN if session.clever else 1
        return HTMLResponse(render("label.html.j2", dataset=dataset, turn=turn, file=file))

    async def state(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(stands, session))

    async def answer(request: Request) -> Response:
        said = await _json(request, key=str, label=str)

        def work() -> dict[str, Any]:
            asked = session.answer(said["key"], said["label"])
            told = asked.guess if asked and asked.drawn == RANDOM else ""
            return {**stands(session), "kept": asked is not None, "guessed": told}

        return JSONResponse(await run_in_threadpool(work))

    async def accept(request: Request) -> Response:
        said = await _json(request, label=str, keys=list)
        kept = await run_in_threadpool(session.accept, said["label"], [str(key) for key in said["keys"]])
        return JSONResponse({**await run_in_threadpool(stands, session), "kept": kept})

    async def undo(request: Request) -> Response:
        kept = await run_in_threadpool(session.undo)
        return JSONResponse({**await run_in_threadpool(stands, session), "kept": kept})

    async def grid(request: Request) -> Response:
        places = await run_in_threadpool(session.questions.like, request.query_params.get("label", ""))
        return JSONResponse({"pictures": [_picture(session, place) for place in places]})

    return [
        Route("/", page),
        Route("/api/state", state),
        Route("/api/grid", grid),
        Route("/api/answer", answer, methods=["POST"]),
        Route("/api/accept", accept, methods=["POST"]),
        Route("/api/undo", undo, methods=["POST"]),
    ]


def stands(session: Session) -> dict[str, Any]:
    """What the page shows: how far it has come, and the questions."""
    asked, then = session.questions.now(), session.questions.then()
    return {
        **to_json(session),
        "undo": session.can_undo,
        "question": None if asked is None else _question(session, asked),
        "following": None if then is None else session.keys[then.place],
    }


def _question(session: Session, asked: Question) -> dict[str, Any]:
    # What was drawn at random measures the head: a person who knew its answer would lean towards it.
    known = [] if asked.drawn == RANDOM else session.questions.suggestions(asked.place)
    shown = [{"label": name, "probability": probability} for name, probability in known]
    return {**_picture(session, asked.place), "drawn": asked.drawn, "suggestions": shown}


def _picture(session: Session, place: int) -> dict[str, str]:
    path = session.manifest.paths[session.pool.row[place]]
    return {"key": session.keys[place], "name": path.rpartition("/")[2].encode("utf-8", "replace").decode()}


async def _json(request: Request, **kinds: type) -> dict[str, Any]:
    try:
        said = json.loads(await request.body())
    except ValueError:
        said = None
    if not isinstance(said, dict) or any(
        not isinstance(said.get(name), kind) for name, kind in kinds.items()
    ):
        raise UserError(f"Expected a JSON object with {' and '.join(kinds)}, received something else.")
    return said
