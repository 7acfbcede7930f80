"""How well the audit finds planted errors, beside cleanlab: `python benchmarks/audit.py FOLDER [--workspace W]`.

In copies of the labels of FOLDER a share of them is changed by chance; the same out-of-fold probabilities go to the
audit and to cleanlab (2.9, in the extra bench). Precision at the number planted is the share of planted ones among as
many of the most suspicious labels. Then the times of the command, in a process of its own: of the wall, and of the
processor. With --workspace the rows that are there are used. With --odd, a folder of pictures of other things, those
are put among the others, and what tells them is compared: the Mahalanobis distance of the audit, and the mean distance
to ten neighbours.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.05, 0.1])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--odd", type=Path)
    parser.add_argument("--no-times", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = options.workspace or Path(temporary)
        if options.workspace is None:
            command("extract", str(options.folder), "--workspace", str(place))
        if options.odd:
            odd(place, options.odd)
        planted(place, options.shares, options.seeds)
        if not options.no_times:
            for words in ([], ["--planted", "5%"]):
                print(
                    " ".join(["audit", *words]),
                    command("audit", *words, "--quiet", "--workspace", str(place)),
                )


def planted(place: Path, shares: list[float], seeds: int) -> None:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    from cache.workspace import Workspace
    from classify.commands.audit.evidence import without_copies
    from classify.commands.audit.head import STRENGTHS, out_of_fold
    from classify.commands.audit.kinds.labels import judge
    from classify.commands.audit.labelled import Labelled
    from classify.commands.audit.planted import altered
    from classify.data.neighbours.cached import neighbours_of
    from classify.data.neighbours.copies import copies_of
    from extract.embedding.thumbnails import thumbnails_of

    workspace = Workspace(place)
    data = workspace.load()
    group = copies_of(data, thumbnails_of(workspace, data.space)).group
    given = Labelled.of(data, group, without_copies(neighbours_of(data), group))
    label, voters, classes = given.label, given.voters, given.classes
    rows = np.flatnonzero(given.learnable)
    print(f"{len(rows):,} labels of {data.name}")
    print(f"{'share':>6} {'seed':>4} {'planted':>7}  precision at the number planted          called wrong")
    print(
        f"{'':>20} {'fused':>7}{'p(label)':>9}{'votes':>7}{'cleanlab':>9}{'margin':>8}  {'ours':>15}{'cleanlab':>16}"
    )
    for share in shares:
        strengths, won = STRENGTHS, 0
        for seed in range(seeds):
            number = round(share * len(rows))
            changed, wrong = altered(label, rows, np.unique(label[rows]), number, seed)
            found = out_of_fold(given.with_labels(changed), strengths=strengths, seed=seed)
            strengths = (found.strength,)
            known, p = changed[rows], found.probability[rows].astype(np.float64)

            def precision(order: np.ndarray, number: int = number, wrong: np.ndarray = wrong) -> float:
                return float(wrong[order[:number]].mean())

            def alone(p: np.ndarray, voters: np.ndarray, changed: np.ndarray = changed) -> np.ndarray:
                whole = np.full((len(label), classes), np.nan)
                whole[rows] = p
                return judge(changed, whole, voters).ranked

            ours = judge(changed, found.probability, voters)
            theirs = {
                how: rows[np.argsort(get_label_quality_scores(known, p, method=how), kind="stable")]
                for how in ("self_confidence", "normalized_margin")
            }
            issues = rows[find_label_issues(known, p, return_indices_ranked_by="self_confidence")]
            figures = [
                precision(ours.ranked),
                precision(alone(p, np.full_like(voters, -1))),
                precision(alone(np.full_like(p, 1 / classes), voters)),
                precision(theirs["self_confidence"]),
                precision(theirs["normalized_margin"]),
            ]
            won += figures[0] >= max(figures[3:])
            called = [f"{wrong[some].mean():.3f} of {len(some)}" for some in (ours.flagged, issues)]
            shown = (
                f"{figures[0]:>7.3f}{figures[1]:>9.3f}{figures[2]:>7.3f}{figures[3]:>9.3f}{figures[4]:>8.3f}"
            )
            print(f"{share:>6.0%} {seed:>4} {number:>7} {shown}  {called[0]:>15}{called[1]:>16}", flush=True)
        print(f"at least cleanlab's in {won} of {seeds} seeds; C = {strengths[0]:g}")


def odd(place: Path, folder: Path) -> None:
    from dataclasses import replace

    from sklearn.metrics import roc_auc_score

    from cache.dataset import Embedded
    from cache.workspace import Workspace
    from classify.commands.audit.evidence import Evidence, without_copies
    from classify.commands.audit.kinds.outliers import LEAST, distances, robust_score
    from classify.data.neighbours.cached import neighbours_of
    from classify.data.neighbours.copies import copies_of
    from extract.embedding.thumbnails import facts_of, thumbnails_of

    workspace = Workspace(place)
    data = workspace.load()
    command("extract", str(folder), "--name", "odd", "--workspace", str(place))
    workspace.remember(dataset=data.name, space=data.space.id)
    other, n = workspace.load("odd", data.space.id), len(data.manifest)
    there, added = data.manifest, other.manifest
    label = np.random.default_rng(0).integers(0, len(there.classes), len(added)).astype(np.int32)
    both = replace(
        there,
        paths=[*there.paths, *added.paths],
        label=np.concatenate([there.label, label]),
        columns={},
        **{
            name: np.concatenate([getattr(there, name), getattr(added, name)])
            for name in ("split", "key", "size", "mtime_ns")
        },
    )
    whole = Embedded("both", data.stores, both, 0)
    copies = copies_of(whole, thumbnails_of(workspace, data.space))
    known = Evidence(
        whole,
        copies,
        without_copies(neighbours_of(whole), copies.group),
        np.empty(0),
        facts_of(workspace, data.space, both.key),
    )
    near = np.sqrt(np.maximum(2 - 2 * known.others.similarity[:, :10], 0)).mean(axis=1)
    for name, distance in {"Mahalanobis": distances(known), "ten neighbours": near}.items():
        score, truth = robust_score(distance), np.arange(len(both)) >= n
        told, lists = score > np.quantile(score[:n], 0.995), score > LEAST
        print(f"{name:>14}: AUROC {roc_auc_score(truth, score):.3f}; ", end="")
        print(f"{told[n:].sum()} of {len(added)} odd ones at 0.5 % of the others; ", end="")
        print(f"above {LEAST:g}: {lists[n:].sum()} odd ones, {lists[:n].sum()} others", flush=True)


def command(*words: str) -> str:
    """Run a command in a process of its own and return its times."""
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, str(ROOT / "cli.py"), *words], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return f"{wall:.1f} s ({used:.1f} s of processor)"


if __name__ == "__main__":
    main()
