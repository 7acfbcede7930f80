"""Fine-tuning against plain Keras and against the head.

`python benchmarks/finetune.py FOLDER [--only speed accuracy few] [-- further options of finetune]`

speed: seconds of an epoch of `finetune --top 50` on cached activations, against `model.fit` on the whole network, fed
from JPEG files by `image_dataset_from_directory`: the same pictures, batch size, optimizer and trainable layers. Plain
Keras is measured before and after ours, in processes of their own.
accuracy: held-out accuracy of head and fine-tune over seeds of the split. few: the same with 20 training pictures a
class, all others testing.
"""

import argparse
import csv
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from plain import pictures_as_keras_does

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
EPOCHS = 10
TIMED = 2  # epochs of plain Keras before ours, and as many after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of accuracy")
    parser.add_argument("--few-seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--per-class", type=int, default=20, help="training pictures of `few`")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)  # the child process: a folder to fit on
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:end])
    options.options = words[end + 1 :]
    if options.plain:
        print(json.dumps(plain_keras(options.plain)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        for section in options.only:
            print(f"\n== {section}", flush=True)
            SECTIONS[section](options, Path(temporary))


def coldframe(workspace: Path, *words: str) -> dict:
    """Run one command and return its JSON."""
    command = [sys.executable, str(ROOT / "cli.py"), *words, "--workspace", str(workspace), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def speed(options: argparse.Namespace, temporary: Path) -> None:
    workspace = temporary / "speed"
    coldframe(workspace, "extract", str(options.folder))
    head = coldframe(workspace, "fit-head", "--no-curve")
    fitted = link_training_part(workspace, head, temporary / "train")
    before = child(temporary / "train")
    began = time.monotonic()
    ours = coldframe(
        workspace, "finetune", "--epochs", str(EPOCHS), "--patience", str(EPOCHS), *options.options
    )
    whole = time.monotonic() - began
    after = child(temporary / "train")
    each, waits = ([*before[what], *after[what]] for what in ("seconds", "waited"))
    plain, waited = sum(each) / len(each), sum(waits) / len(waits)
    epoch, caching = ours["seconds_per_epoch"], ours["seconds_caching"]
    print(f"{fitted} pictures train, {ours['skipped']} of which most epochs skip")
    print(f"border {ours['border']}, {ours['trainable_parameters']:,} parameters")
    print(f"plain Keras, before and after ours, {before['parameters']:,} parameters:")
    print(f"  {_listed(each)} s an epoch, and {_listed(waits)} s of waiting for tf.data before it")
    print(f"cached: {epoch:.1f} s an epoch, validation included; caching once: {caching:.1f} s")
    print(f"whole command, {EPOCHS} epochs: {whole:.0f} s")
    for name, an_epoch in (("without", plain), ("with", plain + waited)):
        print(
            f"an epoch of plain Keras {name} its waiting, {an_epoch:.1f} s: {an_epoch / epoch:.2f} x a cached one, "
            f"{an_epoch / (epoch + caching / EPOCHS):.2f} x with 1/{EPOCHS} of the caching; the whole command is "
            f"{whole / an_epoch:.1f} of them"
        )


def _listed(seconds: Sequence[float]) -> str:
    return ", ".join(f"{one:.1f}" for one in seconds)


def link_training_part(workspace: Path, head: dict, folder: Path) -> int:
    """Make a folder of class folders with links to the pictures that finetune trains on."""
    from cache.workspace import Workspace
    from classify.commands.finetune.start.start import begin
    from classify.runs.head_file import load_head
    from classify.training.settings import Settings

    start = begin(
        Workspace(workspace), load_head(Workspace(workspace), Path(head["run"])), Settings(), say=print
    )
    manifest = start.data.manifest
    for row in start.train.tolist():
        path = folder / manifest.classes[manifest.label[row]] / f"{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(Path(manifest.root, manifest.paths[row]))
    return len(start.train)


def child(folder: Path) -> dict:
    command = [sys.executable, __file__, str(folder), "--plain", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def plain_keras(folder: Path) -> dict:
    """Fit as the tutorials do: the last 50 layers train but for their normalisation. Times epochs after the first.

    Between two epochs fit may wait for a thread of tf.data's, which looks up after 10 ms, 20 ms, 40 ms and so on: an
    epoch of 60 s then takes 82. Such waits are told apart.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    from extract.backbones.backbone import Backbone
    from extract.backbones.network import build_backbone
    from extract.backbones.preprocessing import preprocess

    network = build_backbone(Backbone.of(pooling="avg"))
    for number, layer in enumerate(network.layers):
        top = number >= len(network.layers) - 50
        layer.trainable = top and not isinstance(layer, keras.layers.BatchNormalization)
    pixels = keras.Input((224, 224, 3))
    x = keras.layers.GlobalAveragePooling2D()(network(preprocess(pixels, "lite")))
    data = pictures_as_keras_does(folder, 32, workers=len(os.sched_getaffinity(0)), shuffle=True)
    model = keras.Model(pixels, keras.layers.Dense(len(data.class_names))(x))
    model.compile(
        keras.optimizers.AdamW(3e-4),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    ended: list[float] = []
    seconds: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
            if batch == 0:
                self.began = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            ended.append(time.monotonic())
            seconds.append(ended[-1] - self.began)

    model.fit(data, epochs=1 + TIMED, verbose=0, callbacks=[Clock()])
    waited = [after - before - own for before, after, own in zip(ended, ended[1:], seconds[1:], strict=False)]
    parameters = sum(math.prod(v.shape) for v in model.trainable_variables)
    return {"seconds": seconds[1:], "waited": waited, "parameters": parameters}


def accuracy(options: argparse.Namespace, temporary: Path) -> None:
    workspace = temporary / "accuracy"
    coldframe(workspace, "extract", str(options.folder))
    rows = []
    for seed in options.seeds:
        head = coldframe(workspace, "fit-head", "--no-curve", "--seed", str(seed))
        words = ("finetune", "--run", head["run"], "--seed", str(seed))
        rows.append(coldframe(workspace, *words, *options.options))
        show(seed, rows[-1])
    summarise(rows)


def few(options: argparse.Namespace, temporary: Path) -> None:
    workspace = temporary / "few"
    coldframe(workspace, "extract", str(options.folder))
    rows = []
    for seed in options.few_seeds:
        table = write_few(options.folder, options.per_class, seed, temporary / f"few-{seed}.csv")
        coldframe(workspace, "extract", str(table))
        head = coldframe(workspace, "fit-head", "--no-curve")
        words = ("finetune", "--run", head["run"], "--seed", str(seed))
        rows.append(coldframe(workspace, *words, *options.options))
        show(seed, rows[-1])
    summarise(rows)


def write_few(folder: Path, per_class: int, seed: int, table: Path) -> Path:
    """Write a table in which some pictures of each class train and all others test."""
    chance = random.Random(seed)
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for label in sorted(path for path in folder.iterdir() if path.is_dir()):
            pictures = sorted(label.iterdir())
            chance.shuffle(pictures)
            for number, picture in enumerate(pictures):
                writer.writerow([picture.resolve(), label.name, "train" if number < per_class else "test"])
    return table


def show(seed: int, row: dict) -> None:
    before, after = row["head_test_accuracy"], row["test_accuracy"]
    chosen = f"epoch {row['best_epoch']}, alpha {row['alpha']}"
    validation = (
        f"validation {row['head_val_accuracy']:.2%} to {row['val_accuracy']:.2%} (n = {row['val_n']})"
    )
    print(
        f"seed {seed}: head {before:.2%}, fine-tuned {after:.2%} ({100 * (after - before):+.2f} points, "
        f"n = {row['test_n']}), {chosen}; {validation}; {row['seconds_per_epoch']:.1f} s an epoch",
        flush=True,
    )


def summarise(rows: Sequence[dict]) -> None:
    gains = [100 * (row["test_accuracy"] - row["head_test_accuracy"]) for row in rows]
    tuned = sum(row["test_accuracy"] for row in rows) / len(rows)
    spread = f"the least {min(gains):+.2f}, the most {max(gains):+.2f}"
    print(f"mean of {len(rows)} seeds: {sum(gains) / len(gains):+.2f} points, to {tuned:.2%}; {spread}")


SECTIONS = {"speed": speed, "accuracy": accuracy, "few": few}

if __name__ == "__main__":
    main()
