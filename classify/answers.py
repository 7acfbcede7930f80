"""`predict`: pictures to labels, with the best head and the very pipeline that its training pictures went through."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cache.files import write_file
from cache.space import Space
from cache.store import Reject
from cache.workspace import Workspace
from classify.predictions import Predictions, check_space, classify_rows, csv_bytes
from classify.runs import best_run, load_head, write_json
from extract.extraction import Extractor, Options, Progress, backbone_of, decoding_of
from extract.pipeline import Outcome
from extract.unlabelled import list_pictures


@dataclass(frozen=True)
class Answers:
    """Predictions for the pictures that could be read, rejects for the others, and the CSV file of both."""

    predictions: Predictions
    rejects: list[Reject]
    file: Path

    def records(self) -> list[dict[str, Any]]:
        """One dictionary a picture, as `--json` prints them."""
        return self.predictions.records()

    def csv(self) -> str:
        """The table with path, label, probability and the next best."""
        return self.predictions.csv()


def predict(
    workspace: Workspace,
    paths: Sequence[Path],
    *,
    run: str | None = None,
    space: str | None = None,
    top: int = 3,
    options: Options | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> Answers:
    """Classify pictures and folders of pictures.

    What is embedded for it is kept in the cache, as by `extract`: a picture costs one pass, whoever asks.

    Parameters
    ----------
    workspace : Workspace
    paths : sequence of Path
        Pictures, or folders that are searched for them at any depth.
    run : str, optional
        Run folder; default: the workspace's best.
    space : str, optional
        Start of a space's id; a head of another space is refused.
    top : int
        Classes a picture.
    options : Options, optional
        Engine, batch size and reading threads.
    trust : bool
        Load a head that this workspace did not write.

    Raises
    ------
    UserError
        For a path that is not there, a head that cannot be trusted or is of another space, or a backbone
        whose weights are no longer those of the head.
    """
    progress = progress or Progress()
    loaded = load_head(workspace, Path(run) if run else best_run(workspace), trust=trust)
    trained = Space.from_json(loaded.record["space"]["json"])
    width = loaded.head.n_features_in_
    if space is not None:
        check_space(loaded, workspace.store_by_id(space).space, width)
    backbone = backbone_of(workspace.store(trained))
    options = replace(options or Options(), dtype=trained.dtype)
    extractor = Extractor(workspace, backbone, decoding_of(trained), options, progress.note)
    check_space(loaded, extractor.space, width)

    manifest, outcome = list_pictures(paths), Outcome()
    extractor.embed(manifest, np.arange(len(manifest)), progress, outcome)
    present = manifest.hashed & extractor.store.contains(manifest.key)
    rejects = extractor.rejects(manifest, present, outcome)
    found = manifest.select(present)
    embedding = extractor.store.gather(found.key) if len(found) else np.empty((0, width), np.float32)
    predictions = classify_rows(loaded.head, embedding, found.paths, top)

    folder = workspace.new_run("predict")
    file = folder / "predictions.csv"
    write_file(file, csv_bytes(predictions.csv()))
    record = {
        "command": "predict",
        "head": str(loaded.folder),
        "head_sha256": loaded.record["head"]["sha256"],
        "space": trained.id,
        "paths": [str(path) for path in paths],
        "pictures": len(found),
        "rejects": [{"path": reject.path, "reason": reject.reason} for reject in rejects],
    }
    write_json(folder / "run.json", record)
    return Answers(predictions, rejects, file)
