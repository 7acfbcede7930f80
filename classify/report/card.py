"""card.md: a run as a model hub shows it, front matter and page. Nothing in it tells where on a machine things are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.space import Space
from cache.storage.files import write_file
from cache.text import counted
from cache.workspace import Workspace
from classify.metrics.evaluation import Evaluation
from classify.report.tables import class_table
from classify.report.text import escape, printable, span, table
from extract.backbones.families import FAMILIES, weights_state

CARD = "card.md"
SHOWN = 20  # classes that a sentence names
SCRATCH = "baseline"  # the command whose network begins with random weights
LIBRARY = {"fit-head": "scikit-learn", "finetune": "keras", SCRATCH: "keras"}
FILES = {"fit-head": "head.h5 (or head.joblib)", "finetune": "model.keras", SCRATCH: "model.keras"}
LIMITS = (
    "It answers with one of its classes whatever a picture shows; `predict` says which pictures are unlike all others.",
    "The figures hold for pictures like those of the data set: of the same kind, taken and chosen in the same way.",
    "The interval covers the chance of which pictures were drawn for the test, and nothing else.",
)


@dataclass(frozen=True)
class Weights:
    """A network below the answers: where its weights come from, and their licence (SPDX), empty where unknown."""

    name: str
    source: str
    licence: str


def weights_of(workspace: Workspace, record: Mapping[str, Any]) -> list[Weights]:
    """Tell the weights below a run's answers, as the table of backbones knows those that come with a name."""
    if record["command"] == SCRATCH:
        return []
    found = dict[str, Weights]()
    for each in record.get("inputs") or [record["space"]]:
        space = Space.from_json(each["json"])
        given = workspace.store(space).origin().get("weights", "pretrained")
        source, licence = {"none": "chance (seed 0)"}.get(given, "a file or model of the user's"), ""
        if given == "pretrained" and space.backbone in FAMILIES:
            source, licence = weights_state(space.backbone)[0], FAMILIES[space.backbone].licence
        found[space.backbone] = Weights(space.backbone, source, licence)
    return list(found.values())


def write_card(workspace: Workspace, folder: Path, record: Mapping[str, Any], evaluation: Evaluation) -> None:
    """Write card.md into the folder of a run, of which `record` is what run.json is going to say."""
    text = card(record, evaluation, weights_of(workspace, record))
    write_file(folder / CARD, text.encode("utf-8"))


def card(record: Mapping[str, Any], evaluation: Evaluation, weights: Sequence[Weights]) -> str:
    """Write the card of a run.

    The front matter is that of Hugging Face's model cards (hub-docs, modelcard.md).

    Parameters
    ----------
    record : mapping
        What run.json says: of fit-head, finetune or baseline.
    evaluation : Evaluation
        On the test part.
    weights : sequence of Weights
        Of each network; none where it began with random ones.
    """
    parts = [
        _front(record, evaluation, weights),
        f"# {escape(_title(record, weights))}",
        _purpose(record, evaluation, weights),
        "## Results",
        _results(record, evaluation),
        class_table(evaluation, "Precision", "F1"),
        "## Data",
        _data(record),
        "## Limits",
        "\n".join(f"- {each}" for each in [*_own_limits(record, evaluation), *LIMITS]),
        "## Licence",
        _licence(weights),
        "## Use",
        "```sh\npython cli.py predict pictures/ --run FOLDER\n```",
        f"FOLDER is the one with {FILES[record['command']]} and run.json. {_made(record)}",
    ]
    return "\n\n".join(parts) + "\n"


def licence_of(weights: Sequence[Weights]) -> str:
    """The licence that all weights are under; "other" where they differ, or one is not known."""
    found = {each.licence for each in weights}
    return found.pop() if len(found) == 1 and "" not in found else "other"


def _title(record: Mapping[str, Any], weights: Sequence[Weights]) -> str:
    networks = " + ".join(each.name for each in weights) or "a small network from scratch"
    head = (record.get("head") or {}).get("name") or (record.get("start") or {}).get("head")
    what = f"{head} on {networks}" if head else networks
    if record["command"] == "finetune" and record["result"]["alpha"]:
        what = f"{networks}, fine-tuned from {head}"
    return f"{record['dataset']}: {what}"


def _front(record: Mapping[str, Any], evaluation: Evaluation, weights: Sequence[Weights]) -> str:
    """YAML; a text is written as JSON, which is YAML too."""

    def text(value: str) -> str:
        return json.dumps(printable(value), ensure_ascii=False)

    licence = licence_of(weights)
    tags = ["image-classification", "coldframe", *(each.name for each in weights)]
    lines = ["---", f"license: {licence}"]
    if licence == "other":
        lines.append("license_name: not-known")
    lines += [f"library_name: {LIBRARY[record['command']]}", "pipeline_tag: image-classification", "tags:"]
    lines += [f"- {text(tag)}" for tag in tags]
    lines += ["metrics:", "- accuracy", "- f1", "model-index:", f"- name: {text(_title(record, weights))}"]
    lines += ["  results:", "  - task:", "      type: image-classification", "    dataset:"]
    lines += [f"      name: {text(record['dataset'])}", f"      type: {text(record['dataset'])}"]
    lines += ["      split: test", "    metrics:"]
    interval = f"n = {evaluation.n}, 95 % interval {span(evaluation.ci_low, evaluation.ci_high)}"
    for kind, name, value in (
        ("accuracy", f"Accuracy ({interval})", evaluation.accuracy),
        ("f1", f"Macro-F1 (n = {evaluation.n})", evaluation.macro_f1),
    ):
        lines += [f"    - type: {kind}", f"      name: {text(name)}", f"      value: {value:.4f}"]
    return "\n".join([*lines, "---"])


def _purpose(record: Mapping[str, Any], evaluation: Evaluation, weights: Sequence[Weights]) -> str:
    names = [escape(name) for name in evaluation.classes[:SHOWN]]
    more = f" and {len(evaluation.classes) - SHOWN} more" if len(evaluation.classes) > SHOWN else ""
    how = "trained from random weights"
    if weights:
        how = "a classifier on what a network says of them"
        how = "the top of a network, fine-tuned" if record["command"] == "finetune" else how
    count = counted(len(evaluation.classes), "class", "classes")
    return f"Tells {count} of pictures apart ({how}): {', '.join(names)}{more}."


def _results(record: Mapping[str, Any], e: Evaluation) -> str:
    rows = [["Accuracy, test part", f"{e.accuracy:.1%}", span(e.ci_low, e.ci_high), f"{e.n:,}"]]
    rows.append(
        ["Balanced accuracy", f"{e.balanced_accuracy:.1%}", span(e.balanced_low, e.balanced_high), f"{e.n:,}"]
    )
    rows += [
        [name, f"{value:.3f}", "", f"{e.n:,}"]
        for name, value in (("Macro-F1", e.macro_f1), ("Log-loss, nats", e.log_loss), ("Brier", e.brier))
    ]
    head = record.get("head") or {}
    if "cv_accuracy" in head:
        n = record["split"].get("train", 0)
        rows.append(["Accuracy, cross-validated", f"{head['cv_accuracy']:.1%}", "", f"{n:,}"])
    said = "Settings were chosen on training pictures alone; intervals are Wilson's, 95 %."
    return f"{table(('Figure', 'Value', '95 % interval', 'n'), rows)}\n\n{said}"


def _data(record: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{part} {n:,}" for part, n in record["split"].items())
    seed = record["parameters"].get("seed", 0)
    return (
        f"{escape(record['dataset'])}: {counts}. Copies and near copies of a picture are in one part. Seed {seed}; "
        f"SHA-256 of pictures, labels and parts: `{record['data_sha256']}`."
    )


def _own_limits(record: Mapping[str, Any], e: Evaluation) -> list[str]:
    said = []
    tested = [row for row in range(len(e.classes)) if e.support[row]]
    if tested:
        least = min(tested, key=lambda row: int(e.support[row]))
        of = span(e.recall_low[least], e.recall_high[least])
        pictures = counted(int(e.support[least]), "test picture")
        said.append(f"Least is known of {escape(e.classes[least])}: {pictures}, recall {of}.")
    if (readings := (record.get("test_readings") or {}).get("entries", 1)) > 1:
        said.append(
            f"This test part was read {readings} times, repetitions included: a model chosen by such figures looks a "
            "little too good."
        )
    space = Space.from_json(record["space"]["json"])
    said.append(f"A picture is brought to a square of {space.input_size} pixels ({space.resize}).")
    return said


def _licence(weights: Sequence[Weights]) -> str:
    rows = [(escape(each.name), escape(each.source), each.licence or "not known") for each in weights]
    pictures = "The licences of the pictures that trained it are not known here, and may ask for more."
    if not rows:
        return f"No weights of others are in it. {pictures}"
    return f"{table(('Network', 'Weights from', 'Licence of the weights'), rows, left=3)}\n\n{pictures}"


def _made(record: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return f"Made {record['created'][:10]} with {escape(versions)}."
