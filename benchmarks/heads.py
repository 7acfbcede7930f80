"""Head search against GridSearchCV, in one run: `python benchmarks/heads.py FOLDER [--only svm logreg all large wide]`.

Same estimators, same grids, same folds, same rows (the training part of the default split of FOLDER's embeddings
in efficientnet_lite0); GridSearchCV runs with n_jobs=2. Both sides include the refit on all rows.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--heads", nargs="+", default=["logreg"], help="of the section wide")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for section in options.only:
            print(f"\n== {section}", flush=True)
            SECTIONS[section](options, Path(temporary))


def svm(options: argparse.Namespace, temporary: Path) -> None:
    from classify.heads.fitting.scaling import scalings
    from classify.heads.table import HEADS

    compare(
        "svm", lambda width: HEADS["svm"].grid(width) | {"scale": scalings("standard")}, options, temporary
    )


def logreg(options: argparse.Namespace, temporary: Path) -> None:
    from classify.heads.fitting.scaling import scalings
    from classify.heads.table import HEADS

    def grid(width: int) -> dict:
        return HEADS["logreg"].grid(width) | {"scale": scalings("none", "length", "standard")}

    compare("logreg", grid, options, temporary)


def plain_estimator(name: str) -> Any:
    """The head's Pipeline, with scikit-learn's own SVC for ours, which differs in its scores alone."""
    from sklearn.pipeline import Pipeline
    from sklearn.svm import SVC

    from classify.heads.table import HEADS

    pipeline = HEADS[name].make()
    return Pipeline([*pipeline.steps[:-1], ("classify", SVC(kernel="rbf"))]) if name == "svm" else pipeline


def compare(name: str, grid: Callable[[int], dict], options: argparse.Namespace, temporary: Path) -> None:
    from dataclasses import replace

    from sklearn.model_selection import GridSearchCV

    from classify.data.labelled import Labelled
    from classify.heads.search import SearchOptions, search
    from classify.heads.table import HEADS

    X, y = training_part(options.folder, temporary)
    head = replace(HEADS[name], grid=grid)
    began = time.perf_counter()
    ours = search(head, Labelled(X, y), SearchOptions(seed=options.seed))
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = GridSearchCV(plain_estimator(name), grid(X.shape[1]), cv=ours.folds, n_jobs=2).fit(X, y)
    plain = time.perf_counter() - began
    means = np.array([candidate.mean for candidate in ours.candidates])
    off = np.abs(means - theirs.cv_results_["mean_test_score"])
    best = theirs.cv_results_["mean_test_score"].max()
    print(
        f"{name}: {len(means)} settings x {len(ours.folds)} folds on {X.shape[0]:,} x {X.shape[1]:,}, "
        f"seed {options.seed}"
    )
    print(f"coldframe     {seconds:7.1f} s  CV accuracy {ours.cv_accuracy:.4f}  {ours.settings}")
    print(f"GridSearchCV  {plain:7.1f} s  CV accuracy {best:.4f}  {theirs.best_params_}")
    print(f"{plain / seconds:.1f} x faster; CV accuracy of a setting differs by {off.max():.4f} at most")


def everything(options: argparse.Namespace, temporary: Path) -> None:
    workspace = extracted(options.folder, temporary)
    command = [sys.executable, str(ROOT / "cli.py"), "fit-head", "--model", "all", "--json"]
    command += ["--seed", str(options.seed), "--workspace", str(workspace)]
    began = time.perf_counter()
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(f"fit-head --model all: {time.perf_counter() - began:.1f} s, whole process")
    for head in answer["heads"]:
        mark = "*" if head["name"] == answer["best"] else " "
        print(
            f"{mark} {head['name']:12} CV {head['cv_accuracy']:.4f}  test {head['test_accuracy']:.4f} "
            f"({head['ci_low']:.3f} - {head['ci_high']:.3f}, n = {head['test_n']})  {head['seconds']:6.1f} s"
        )


def large(options: argparse.Namespace, temporary: Path) -> None:
    """50,000 x 1280 float32 with 20 classes, made data: a path of 5 values of C with 3 folds."""
    from dataclasses import replace

    from classify.data.labelled import Labelled
    from classify.heads.fitting.scaling import scalings
    from classify.heads.search import SearchOptions, search
    from classify.heads.table import HEADS

    rng = np.random.default_rng(options.seed)
    y = rng.integers(0, 20, 50_000)
    centres = rng.normal(0, 0.12, (20, 1280)).astype(np.float32)
    X = rng.standard_normal((len(y), 1280), dtype=np.float32)
    X += centres[y]
    grid = {"scale": scalings("standard"), "classify__C": [1e-4, 1e-3, 1e-2, 1e-1, 1.0]}
    head = replace(HEADS["logreg"], grid=lambda width: grid)
    began = time.perf_counter()
    found = search(
        head,
        Labelled(X, np.array([f"class {code:02d}" for code in y])),
        SearchOptions(folds=3, seed=options.seed),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"logreg, 5 values of C, 3 folds, {X.shape[0]:,} x {X.shape[1]:,}, 20 classes: "
        f"{time.perf_counter() - began:.0f} s, peak memory {peak:.1f} GiB (data {X.nbytes / 2**30:.1f} GiB), "
        f"CV accuracy {found.cv_accuracy:.3f}"
    )


def wide(options: argparse.Namespace, temporary: Path) -> None:
    """Made rows of 6,216 columns, and the first of them, two rounds: search and refit of --heads.

    600 factors with a spectrum that falls as k^-0.6, mixed, cut at zero, each column of its own size: as averaged
    activations are. Processor time is told as well: it changes less with whatever else runs.
    """
    from classify.data.labelled import Labelled
    from classify.heads.search import SearchOptions, search
    from classify.heads.table import HEADS

    rng = np.random.default_rng(options.seed)
    y, spectrum = rng.integers(0, 5, 2575), np.arange(1, 601) ** -0.6
    factors = (rng.normal(size=(len(y), 600)) + 0.16 * rng.normal(size=(5, 600))[y]) * spectrum
    mixed = factors @ rng.normal(size=(600, 6216))
    mixed = mixed / mixed.std(axis=0) + 0.5 * rng.normal(size=mixed.shape)
    X = (np.maximum(mixed - 0.3, 0) * rng.lognormal(0, 0.7, 6216)).astype(np.float32)
    labels = np.array([f"class {code}" for code in y])
    for name in options.heads:
        first: dict[int, float] = {}
        for width in (1280, 2048, 6216, 1280, 2048, 6216) if name == "logreg" else (1280, 6216):
            marks: list[tuple[float, float]] = []

            def mark(marks: list = marks) -> None:
                marks.append((time.perf_counter(), time.process_time()))

            mark()
            how = SearchOptions(seed=options.seed, on_refit=mark)
            found = search(HEADS[name], Labelled(np.ascontiguousarray(X[:, :width]), labels), how)
            mark()
            (wall, cpu), (refit_wall, refit_cpu) = np.diff(marks, axis=0)
            first.setdefault(1280, cpu)
            search_time = (
                f"{wall:6.1f} s ({cpu:6.1f} s of processor time, {cpu / first[1280]:.2f} x 1,280 columns)"
            )
            print(
                f"{name:10} {width:5,}  search {search_time}  refit {refit_wall:5.1f} s ({refit_cpu:.1f} s)  "
                f"CV accuracy {found.cv_accuracy:.4f}",
                flush=True,
            )


def training_part(folder: Path, temporary: Path) -> tuple[np.ndarray, np.ndarray]:
    from cache.workspace import Workspace
    from classify.data.splits import TRAIN, split

    data = Workspace(extracted(folder, temporary)).load()
    train = split(data.manifest, seed=0).part == TRAIN
    return data.embedding[train], np.array(data.manifest.classes)[data.manifest.label[train]]


def extracted(folder: Path, temporary: Path) -> Path:
    workspace = temporary / "workspace"
    if not workspace.exists():
        command = [
            sys.executable,
            str(ROOT / "cli.py"),
            "extract",
            str(folder),
            "--workspace",
            str(workspace),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return workspace


SECTIONS = {"svm": svm, "logreg": logreg, "all": everything, "large": large, "wide": wide}

if __name__ == "__main__":
    main()
