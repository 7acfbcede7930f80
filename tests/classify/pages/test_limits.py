"""What a head may be trusted with stands on its page: the set of each test picture, and what limits were worth."""

from pathlib import Path

import numpy as np

from cache.storage.json_file import read_json
from classify.limits.checked import LEVEL, check_limits
from classify.pages.page import write_page
from classify.pages.run import read_run
from classify.runs import scores
from classify.runs.folder import write_json
from classify.runs.scores import Scores
from tests.classify.limits.test_learned import CLASSES, WIDTH, learned
from tests.classify.limits.test_novelty import chances, clouds
from tests.classify.pages.made import make_run


def test_sets_and_coverage_are_those_of_the_limits(tmp_path: Path) -> None:
    workspace, folder = make_run(tmp_path, CLASSES, n=60, mistakes=10)
    manifest, limits, (rows, codes) = workspace.manifest("made"), learned(), clouds(60, width=WIDTH, seed=1)
    probability, number = chances(rows, codes).astype(np.float32), np.arange(60, dtype=np.int32)
    part = np.full(60, 2, np.uint8)
    label, fold = codes.astype(np.int32), np.full(60, -1, np.int16)
    found = Scores(
        tuple(CLASSES), manifest.key, tuple(manifest.paths), label, part, fold, number, probability
    )
    scores.write(folder, found)
    assert not read_run(folder).sets
    limits.write(folder)
    inside = limits.sets(probability.astype(np.float64), LEVEL)
    sets = read_run(folder).sets
    assert {path: set(names) for path, names in sets.items()} == {
        path: {CLASSES[i] for i in np.flatnonzero(row)}
        for path, row in zip(manifest.paths, inside, strict=True)
    }
    for names, row in zip(sets.values(), probability, strict=True):
        assert names == sorted(names, key=lambda name: -row[CLASSES.index(name)])

    checked = check_limits(limits, CLASSES, np.array(CLASSES)[codes], probability, rows)
    write_json(folder / "report.json", {**read_json(folder / "report.json"), "limits": checked.to_json()})
    page = write_page(workspace, folder).read_text("utf-8")
    assert checked.coverage is not None and f"it was {checked.coverage.value:.1%} of the time" in page
    assert "Set of 90 %" in page and page.count(f'<td data-value="{len(sets["0.png"])}">') >= 1
