"""`serve`: a page that answers for pictures with the best run, beside its report, the map and the audit."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from cache.manifest import Manifest
from cache.text import visible
from cache.workspace import Workspace
from classify.commands.serve.corrections import Corrections
from classify.commands.serve.findings import ISSUES, Decisions, by_key, last
from classify.commands.serve.loading import Loading
from classify.commands.serve.options import ServeOptions
from classify.commands.serve.pages import Shown, routes
from classify.pages.serving.app import check_installed, make_app
from classify.pages.serving.guards import App
from classify.pages.serving.pictures import Pictures
from classify.pages.serving.server import EXPOSED, Listening, listen, serve
from classify.runs.folder import find_run
from classify.runs.record import record_of
from classify.runs.standing import Standing
from extract.embedding.progress import Progress
from extract.settings import Options

if TYPE_CHECKING:
    from classify.commands.serve.answers import Answerer

FOLDER = "corrections"  # in runs/


@dataclass(frozen=True)
class Served:
    """Where the page is, and what answers there."""

    listening: Listening
    run: Path

    def to_json(self) -> dict[str, Any]:
        """Return what a program needs: the address of the page, that of the endpoint, and the token for it."""
        return {
            "address": self.listening.address,
            "predict": f"{self.listening.origin}/api/predict",
            "token": self.listening.token,
            "run": str(self.run),
        }

    def to_text(self) -> str:
        """Return the address."""
        return self.listening.address


def make_pages(
    workspace: Workspace,
    listening: Listening,
    *,
    run: str | None = None,
    corrections: Path | None = None,
    options: Options | None = None,
    trust: bool = False,
    anywhere: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> tuple[App, Path]:
    """Make the app that answers with a run, which is loaded in the background; returns the run as well.

    Parameters
    ----------
    workspace : Workspace
    listening : Listening
        Whose token opens it.
    run : str, optional
        As for `find_run`, or a .keras file.
    corrections : Path, optional
        Folder for corrections.csv and mended.csv; default: runs/corrections.
    options, trust
        As for `open_classifier`.
    anywhere : bool
        As for `make_app`.
    note : callable
        Told what a person should know while the run is loaded.

    Raises
    ------
    UserError
        For a run that is not there.
    """
    lone = run is not None and run.endswith(".keras") and Path(run).is_file()
    found = Path(str(run)) if lone else find_run(workspace, run)
    record = {} if lone else record_of(found)
    dataset, folder = record.get("dataset") or "", corrections or workspace.runs / FOLDER
    audit, drawn = last(workspace, dataset, ISSUES), last(workspace, dataset, "map.html")
    decisions = Decisions(audit, folder) if audit else None

    def load() -> Answerer:  # what it imports takes longer than all that the page needs
        from threadpoolctl import threadpool_limits

        from classify.commands.serve.answers import Answerer
        from classify.models.classifier import open_classifier

        threadpool_limits(1)  # every core has answers to give: two at one product would wait for each other
        named = str(found.absolute())
        progress = Progress(note=note)
        classifier = open_classifier(workspace, named, options=options, trust=trust, progress=progress)
        return Answerer.of(classifier, by_key(decisions.findings if decisions else ()))

    shown = Shown(
        title=str(Standing.of(found, record)) if record else found.name,
        dataset=dataset,
        loading=Loading(found, load),
        corrections=Corrections(folder, found.name),
        decisions=decisions,
        files={
            "/report": (found / "report.html", f"report {found.name}"),
            "/map": (drawn / "map.html" if drawn else None, "map"),
        },
    )
    pictures = Pictures(*_manifest(workspace, dataset))
    return make_app(routes(shown), listening.token, pictures=pictures, anywhere=anywhere), found


def _manifest(workspace: Workspace, dataset: str) -> list[Manifest]:
    try:
        return [workspace.manifest(dataset)] if dataset else []
    except UserError:  # it was removed: the answers are the same, the pictures are not shown
        return []


def run(options: ServeOptions, say: Callable[[str], None]) -> None:
    """Answer the command line: say where the page is, and serve it until Ctrl-C."""
    check_installed()
    workspace = Workspace.locate(options.workspace)
    listening = listen(options.host, options.port, expose=options.expose)
    app, found = make_pages(
        workspace,
        listening,
        run=options.run,
        corrections=Path(options.corrections) if options.corrections else None,
        options=Options(**asdict(options.engine)),
        trust=options.trust,
        anywhere=options.expose,
        note=say,
    )
    if options.expose:
        say(EXPOSED)
    served = Served(listening, found)
    print(json.dumps(served.to_json()) if options.json else visible(served.to_text()), flush=True)
    say("open this address in a web browser; Ctrl-C ends it")
    if options.open and not webbrowser.open(listening.address):
        say("no web browser was found: open the address yourself")
    serve(app, listening)
