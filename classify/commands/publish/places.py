"""Where a run can be published to; each tells its address, and whether the run was there already."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cache.errors import UserError
from cache.storage.files import make_folder, write_file
from classify.commands.publish.bundle import README, Bundle
from classify.runs.summary import Run

TAG = "coldframe.sha256"


class Place(NamedTuple):
    """How to publish there, and where it is by default."""

    publish: Callable[[Bundle, Path], tuple[str, bool]]
    default: str


def to_folder(bundle: Bundle, out: Path) -> tuple[str, bool]:
    """Write a folder of its own below `out`, which appears when it is whole.

    Raises
    ------
    UserError
        When a folder of that name is there with another content.
    """
    folder = out / bundle.name
    if folder.exists():
        there = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        if there != dict(bundle.files):
            raise UserError(
                f"Expected what was published in {folder}, received other files: somebody changed them. Move the "
                "folder away, or choose another place with --out."
            )
        return str(folder), True
    make_folder(out)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=out))
    try:
        for name, data in bundle.files.items():
            write_file(temporary / name, data)
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already after the rename
    return str(folder), False


def to_mlflow(bundle: Bundle, out: Path) -> tuple[str, bool]:
    """Add a run to the experiment of the data set's name in MLflow's SQLite database `out`; its files lie beside that.

    The tag with the hash comes last: a run that was not written to its end is not taken for one.

    Raises
    ------
    UserError
        When MLflow is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would call home
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # of each table that it creates
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        make_folder(out.parent)
        client = MlflowClient(f"sqlite:///{out.resolve()}")
    except ImportError as error:
        raise UserError(
            f"Expected MLflow for --to mlflow, but: {error}. Run `pip install 'coldframe[mlflow]'`, or publish to a "
            "folder."
        ) from error
    name = bundle.record["dataset"]
    known = client.get_experiment_by_name(name)
    files = out.resolve().with_name(f"{out.stem}-files").as_uri()
    experiment = known.experiment_id if known else client.create_experiment(name, files)
    found = client.search_runs([experiment], f"tags.`{TAG}` = '{bundle.sha256}'", max_results=1)
    if found:
        return found[0].info.run_id, True
    run = client.create_run(experiment, run_name=bundle.run.name).info.run_id
    metrics = [Metric(key, value, 0, 0) for key, value in _metrics(bundle).items()]
    params = [Param(key, str(value)[:500]) for key, value in _params(bundle).items()]
    client.log_batch(run, metrics=metrics, params=params)
    client.set_tag(run, "mlflow.note.content", bundle.files[README].decode("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        for file, data in bundle.files.items():
            Path(folder, file).write_bytes(data)
        client.log_artifacts(run, folder)
    client.set_tag(run, TAG, bundle.sha256)
    client.set_terminated(run)
    return run, False


def _metrics(bundle: Bundle) -> dict[str, float]:
    figure, head = Run.of(bundle.run).figure, bundle.record.get("head") or {}
    found = {"cv_accuracy": head["cv_accuracy"]} if "cv_accuracy" in head else {}
    if figure:
        named = {"accuracy": figure.accuracy, "ci_low": figure.low, "ci_high": figure.high}
        found |= {f"test_{key}": value for key, value in named.items()} | {"test_n": float(figure.n)}
    return found


def _params(bundle: Bundle) -> dict[str, object]:
    head = bundle.record.get("head") or {}
    found = {"command": bundle.record["command"], "data_sha256": bundle.record["data_sha256"]}
    found |= {f"head.{key}": value for key, value in (head.get("params") or {}).items()}
    given = bundle.record["parameters"].items()
    return found | {key: value for key, value in given if value is not None and not isinstance(value, dict)}


TABLE = {"folder": Place(to_folder, "published"), "mlflow": Place(to_mlflow, "mlflow.db")}
