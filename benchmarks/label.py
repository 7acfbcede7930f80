"""What the order of `label` saves, and whether its estimate is right: `python benchmarks/label.py --workspace W`.

On a labelled data set that was extracted: labels needed for an accuracy in the order of `label` and at random, over
seeds; and how often the interval that the page shows holds the accuracy of the head on pictures that were never asked
about, over simulated stops; and how long a person who answers three times a second waits for the next question.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

LOOKS = (40, 80, 120, 160, 200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--dataset")
    parser.add_argument("--accuracy", type=float, default=0.85)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--stops", type=int, default=200)
    parser.add_argument("--answers", type=int, default=100)
    options = parser.parse_args()

    from cache.workspace import Workspace
    from classify.commands.label.pool import Pool
    from classify.commands.label.simulation import save
    from classify.data.neighbours.cached import neighbours_of
    from classify.data.neighbours.copies import copies_of
    from extract.embedding.thumbnails import thumbnails_of

    workspace = Workspace(options.workspace)
    data = workspace.load(options.dataset)
    group = copies_of(data, thumbnails_of(workspace, data.space)).group
    pool = Pool.of(data, group, neighbours_of(data))
    label, classes = data.manifest.label[pool.row], len(data.manifest.classes)
    if options.seeds:
        found = save(pool, label, classes, options.accuracy, options.seeds, print)
        low, high = found.interval
        print(f"labels for {found.accuracy:.0%}: median {np.median(found.clever):.0f}, at random ", end="")
        print(f"{np.median(found.random):.0f}; {found.ratio:.0%} ({low:.0%} to {high:.0%})", flush=True)
    if options.stops:
        covered(pool, label, classes, options.stops)
    if options.answers:
        waits(data.manifest, group, pool, options.answers)


def covered(pool, label, classes: int, count: int) -> None:
    """Count how often the interval of a stop holds the accuracy on what was never asked."""
    from classify.commands.label.simulation import replay

    rows, seeds = [], -(-count // len(LOOKS))
    for seed in range(100, 100 + seeds):
        stops = replay(
            pool, label, classes, seed, clever=True, until=lambda stop: stop.labels >= LOOKS[-1], looks=LOOKS
        )
        rows += [
            (stop.labels, stop.accuracy, stop.estimate.accuracy, stop.estimate.n, *stop.estimate.interval)
            for stop in stops
            if stop.estimate
        ]
    labels, truth, shown, n, low, high = np.array(rows[:count]).T
    held = (low <= truth) & (truth <= high)
    for look in LOOKS:
        at = labels == look
        print(
            f"{look} labels: interval holds {held[at].mean():.1%}; accuracy {truth[at].mean():.3f}, ", end=""
        )
        print(f"shown {shown[at].mean():.3f}, n {n[at].mean():.0f}")
    print(f"the interval holds the accuracy in {held.mean():.1%} of {len(held)} stops", flush=True)


def waits(manifest, group, pool, count: int) -> None:
    """Time from an answer until the next question is there, the answer being on the disk."""
    from classify.commands.label.labels import Labels
    from classify.commands.label.page import stands
    from classify.commands.label.session import Session

    took, bare = [], replace(manifest, label=np.full(len(manifest), -1, np.int32))
    with tempfile.TemporaryDirectory() as folder:
        session = Session(bare, group, pool, Labels(Path(folder) / "labels.csv"))
        for _ in range(count):
            place = session.questions.now().place
            time.sleep(0.33)
            start = time.perf_counter()
            session.answer(session.keys[place], manifest.classes[manifest.label[pool.row[place]]])
            stands(session)
            took.append(1000 * (time.perf_counter() - start))
        session.close()
    print(
        f"from an answer to the next question, {len(pool):,} pictures: median {np.median(took):.0f} ms, ",
        end="",
    )
    print(f"95 % within {np.quantile(took, 0.95):.0f} ms, at most {max(took):.0f} ms (n = {count})")


if __name__ == "__main__":
    main()
