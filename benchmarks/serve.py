"""What a person waits for at the pages of `serve` and `label`: `python benchmarks/serve.py flowers/`.

    start     a process of `serve`: until its first page, until it answers; and whether TensorFlow is in it
    answers   one client, pictures of the test part: eight neighbours, near copies, set, what is unknown, audit
    together  50 clients at once
    memory    what the process holds after so many answers
    label     from a key to the next picture, in Chromium, three answers a second

Without --workspace the pictures are extracted and audited, and a head is fitted first. `--only start,label`: these.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

SECTIONS = ("start", "answers", "together", "memory", "label")
CLIENTS, SEED, PACE = 50, 0, 0.33  # PACE: seconds between two keys


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--workspace", type=Path, help="where the pictures are extracted and a head is fitted"
    )
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument(
        "--pictures", type=int, default=500, help="answers of one client, and of all together"
    )
    parser.add_argument("--looks", default="1000,10000", help="numbers of answers at which memory is told")
    parser.add_argument("--keys", type=int, default=100)
    options = parser.parse_args()
    only = options.only.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        from cache.workspace import Workspace

        workspace = Workspace((options.workspace or Path(scratch) / ".coldframe").absolute())
        if options.workspace is None:
            prepare(workspace, options.folder)
        if "start" in only:
            start(workspace, options.starts)
        if {"answers", "together", "memory"} & {*only}:
            data = drawn(workspace, options.folder, options.pictures)
            with served(workspace) as (ask, process):
                if "answers" in only:
                    answers(ask, data)
                if "together" in only:
                    together(ask, data)
                if "memory" in only:
                    memory(ask, process, data, [int(each) for each in options.looks.split(",")])
        if "label" in only:
            label(workspace, options.keys)


def prepare(workspace, folder: Path) -> None:
    """Make what is served."""
    from classify.commands.audit.command import audit
    from classify.commands.fit_head.command import fit_heads
    from classify.commands.fit_head.options import FitOptions
    from extract.backbones.backbone import Backbone
    from extract.commands.extract import extract
    from extract.embedding.progress import bar
    from extract.settings import Decoding, Options

    extract(workspace, folder, Backbone.of(), Decoding(), Options(), progress=bar(print))
    fit_heads(workspace, FitOptions(models=("logreg",), curve=False))
    audit(workspace)


def drawn(workspace, folder: Path, count: int) -> list[bytes]:
    """Pictures of the test part of the best run, in random order."""
    from classify.runs import scores
    from classify.runs.folder import find_run

    found = scores.load(find_run(workspace, None))
    test = np.flatnonzero(found.part == scores.PARTS.index("test"))
    return [(folder / found.path[row]).read_bytes() for row in drawing().permutation(test)[:count]]


def drawing() -> np.random.Generator:
    return np.random.default_rng(SEED)


@contextmanager
def served(workspace):
    """Serve in a process of its own; gives what asks it, and the process, which answers by then."""
    process, told = begun(workspace)
    try:
        ask = asking(told)
        while (state := json.loads(ask("/api/state")[1]))["state"] == "loading":
            time.sleep(0.05)
        assert state["state"] == "ready" and not state["notes"], state
        yield ask, process
    finally:
        ended(process)


def begun(workspace) -> tuple[subprocess.Popen, dict]:
    """Start `serve`; the second is what it prints."""
    words = [
        sys.executable,
        str(ROOT / "cli.py"),
        "serve",
        "--json",
        "--trust",
        "--workspace",
        str(workspace.root),
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    line = process.stdout.readline()
    if not line:
        sys.exit(f"nothing is served: run {' '.join(words)}")
    return process, json.loads(line)


def ended(process) -> None:
    process.terminate()
    process.wait()


def asking(told: dict):
    """What asks a server of `serve --json`: a path and perhaps a body to status and body; connections are new."""
    host = told["predict"].split("/")[2]

    def ask(
        path: str, body: bytes | None = None, connection: HTTPConnection | None = None
    ) -> tuple[int, bytes]:
        connection = connection or HTTPConnection(host, timeout=600)
        headers = {"Authorization": f"Bearer {told['token']}"}
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    ask.connection = lambda: HTTPConnection(host, timeout=600)
    return ask


def start(workspace, count: int) -> None:
    """Time from the start of the process."""
    page, ready = [], []
    for _ in range(count):
        began = time.perf_counter()
        process, told = begun(workspace)
        ask = asking(told)
        assert ask("/")[0] == 200
        page.append(time.perf_counter() - began)
        while json.loads(ask("/api/state")[1])["state"] == "loading":
            time.sleep(0.02)
        ready.append(time.perf_counter() - began)
        heavy = holds(process, "/tensorflow/")
        ended(process)
    print(
        f"first page after {np.median(page):.2f} s ({min(page):.2f} to {max(page):.2f}), answers after "
        f"{np.median(ready):.2f} s, n = {count} starts; TensorFlow is {'' if heavy else 'not '}in the process",
        flush=True,
    )


def holds(process, library: str) -> bool:
    """Whether a process has mapped a library (Linux)."""
    return library in Path(f"/proc/{process.pid}/maps").read_text()


def answers(ask, data: list[bytes]) -> None:
    """Time of one client, over one connection, after ten answers that do not count."""
    connection, took = ask.connection(), []
    for each in [*data[:10], *data]:
        began = time.perf_counter()
        status, said = ask("/api/predict", each, connection)
        took.append(1000 * (time.perf_counter() - began))
        assert status == 200 and len(json.loads(said)["nearest"]) == 8
    told(f"an answer with its eight neighbours, one client, seed {SEED}", took[10:])


def together(ask, data: list[bytes]) -> None:
    """Clients that ask at once, each over connections of its own."""
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = [status for status, _ in pool.map(lambda each: ask("/api/predict", each), data)]
    wall = time.perf_counter() - began
    print(
        f"{CLIENTS} clients at once: {sum(status != 200 for status in found)} errors in {len(found):,} answers, "
        f"{len(found) / wall:.0f} a second",
        flush=True,
    )


def memory(ask, process, data: list[bytes], looks: list[int]) -> None:
    """Resident memory after so many answers (Linux)."""
    connections, done = [ask.connection() for _ in range(2)], 0

    def some(connection: HTTPConnection, mine: list[bytes]) -> None:
        assert all(ask("/api/predict", each, connection)[0] == 200 for each in mine)

    pictures = cycle(data)
    for look in looks:
        todo = list(islice(pictures, look - done))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(some, connections, (todo[::2], todo[1::2])))
        done = look
        status = Path(f"/proc/{process.pid}/status").read_text()
        held = int(status.partition("VmRSS:")[2].split()[0]) / 1024
        print(f"after {look:,} answers the process holds {held:,.0f} MiB", flush=True)


def label(workspace, count: int) -> None:
    """Time from a key to the next picture, in the browser, on all pictures without their labels."""
    from cache.dataset import Embedded
    from classify.commands.label.labels import Labels
    from classify.commands.label.page import routes
    from classify.commands.label.pool import Pool
    from classify.commands.label.session import Session
    from classify.data.neighbours.cached import neighbours_of
    from classify.data.neighbours.copies import copies_of
    from classify.pages.serving.app import make_app
    from classify.pages.serving.pictures import Pictures
    from classify.pages.serving.server import listen, serving
    from extract.embedding.thumbnails import thumbnails_of

    data: Embedded = workspace.load()
    manifest, listening = data.manifest, listen()
    group = copies_of(data, thumbnails_of(workspace, data.space)).group
    bare = replace(manifest, label=np.full(len(manifest), -1, np.int32))
    names = dict(zip((key.tobytes().hex() for key in manifest.key), manifest.label.tolist(), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        table = Labels(Path(folder) / "labels.csv")
        pool = Pool.of(data, group, neighbours_of(data))
        session = Session(bare, group, pool, table, manifest.classes, seed=SEED)
        app = make_app(routes(session, data.name), listening.token, pictures=Pictures(bare))
        with serving(app, listening) as address:
            took = pressed(address, count, lambda key: str(1 + names[key]))
        session.close()
    told(
        f"from a key to the next of {len(pool):,} pictures, {len(manifest.classes)} classes, seed {SEED}",
        took,
    )


PRESSED = """key => new Promise(done => {
    const began = performance.now(), picture = document.getElementById("picture");
    picture.addEventListener("load", () => requestAnimationFrame(() => done(performance.now() - began)), {once: true});
    document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
})"""


def pressed(address: str, count: int, key_of) -> list[float]:
    """Press the key of each picture that is shown; milliseconds until the next one is."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page, took = browser.new_page(), []
        page.goto(address)
        page.wait_for_selector("#name:not(:empty)")
        for _ in range(count):
            page.wait_for_timeout(1000 * PACE)
            shown = page.get_attribute("#picture", "src").split("/")[-1].partition("?")[0]
            took.append(page.evaluate(PRESSED, key_of(shown)))
        browser.close()
    return took


def told(what: str, took: list[float]) -> None:
    median, high = np.quantile(took, (0.5, 0.95))
    print(
        f"{what}: p50 {median:.0f} ms, p95 {high:.0f} ms, at most {max(took):.0f} ms, n = {len(took):,}",
        flush=True,
    )


if __name__ == "__main__":
    main()
