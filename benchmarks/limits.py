"""What limits are worth over many splits: coverage of sets, false alarms, errors of the answers given, time.

    python benchmarks/limits.py .coldframe --seeds 10
    python benchmarks/limits.py .coldframe --other cats/

The data set used last of a workspace is divided anew for each seed; a logistic regression is searched by
cross-validation on its training part, limits are learned from its out-of-fold answers, as `fit-head` does, and held
against its test part. Intervals are Wilson's, of 95 %. Seconds are those of the process, on one thread, of learning and
checking together. Splits are recorded in the workspace: give it a copy. With `--other` the best run says how much is
unknown of a folder of quite other things.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1]))

from cache.workspace import Workspace
from classify.commands.predict.command import predict
from classify.data.division import Division, divide
from classify.heads.calibration import CalibratedHead, fit_temperature
from classify.heads.search import search
from classify.heads.table import PROBE
from classify.limits.checked import ERRORS, Checked, Share, check_limits
from classify.limits.learned import Limits


def limits_of(division: Division, seed: int) -> tuple[Checked, float]:
    """Fit a head, learn its limits and check them; with the seconds of the latter two."""
    found = search(PROBE, division)
    codes = np.searchsorted(found.classes, division.y)
    head = CalibratedHead(found.pipeline, fit_temperature(found.scores, codes))
    columns = found.columns
    stops = np.cumsum(columns.widths).tolist()
    spans = list(zip([0, *stops], stops, strict=False))
    apart, rows = head.probabilities(found.scores), columns.of(division.X_test)
    answers = head.predict_proba(rows)
    start = time.process_time()
    limits = Limits.learn(columns.of(division.X), codes, apart, division.group, spans, seed)
    with threadpool_limits(1):
        checked = check_limits(limits, found.classes.tolist(), division.truth, answers, rows)
    return checked, time.process_time() - start


def other(workspace: Workspace, folder: Path) -> None:
    """Say how many pictures of other things the best run calls unknown."""
    answers = predict(workspace, [folder], top=1)
    typical = np.array(answers.predictions.more["typical"])
    for alarms in (0.01, 0.05):
        found = Share.of(typical <= alarms)
        print(
            f"at {alarms:.0%} false alarms {found.value:.0%} are unknown "
            f"({found.low:.0%} - {found.high:.0%}, n = {found.n})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--other", type=Path)
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    if options.other:
        return other(workspace, options.other)
    data, found = workspace.load(), list[Checked]()
    print(
        "seed   in set  95 % interval  size empty  score        AUROC  alarms  "
        + "  ".join(f"<{e:.0%}" for e in ERRORS)
    )
    for seed in range(options.seeds):
        checked, seconds = limits_of(divide(workspace, data, test_size=0.2, seed=seed), seed)
        found.append(checked)
        share = checked.coverage
        assert share is not None
        given = {
            each.most: f"{each.wrong.value:.2%} of {each.answered.value:.0%}" for each in checked.abstaining
        }
        print(
            f"{seed:>4} {share.value:>8.3f}  {share.low:.3f} - {share.high:.3f} {checked.size:>5.2f} "
            f"{checked.empty:.3f}  {checked.score:<11} {checked.trial.auroc:.3f}  {checked.false_alarms.value:.4f}  "
            + "  ".join(given.get(most, "-") for most in ERRORS)
            + f"  {seconds:.1f} s",
            flush=True,
        )
    holds = sum(each.coverage.low <= each.level <= each.coverage.high for each in found if each.coverage)
    classes = [share for each in found for share in each.classes.values()]
    level = found[0].level
    within = sum(share.low <= level <= share.high for share in classes)
    print(
        f"{level:.0%} lies in the interval in {holds} of {len(found)} splits, by class in {within} of {len(classes)}"
    )
    coverage = np.mean([each.coverage.value for each in found if each.coverage])
    print(
        f"mean coverage {coverage:.4f}, false alarms {np.mean([each.false_alarms.value for each in found]):.4f}"
    )
    kept = [one.wrong.value <= one.most for each in found for one in each.abstaining]
    print(f"the share of wrong answers was as small as asked for in {sum(kept)} of {len(kept)} trials")


if __name__ == "__main__":
    main()
