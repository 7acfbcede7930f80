"""Run the four classic tutorials, here and in plain Keras, and write docs/recipes.md from what came out.

`python benchmarks/recipes.py FOLDER [--only resnet50-dense ... plain-resnet50-dense ... story-128 story-224]`

What was measured is kept in docs/recipes.json, section by section, so that one of them can be measured again;
docs/recipes.md is written from that file and from the texts here. `--render` writes it without measuring.

FOLDER (class folders) is divided once by coldframe, 68/12/20, and every contender gets the same three parts as
folders of links. All pictures are 128 pixels a side but where the story says 224.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
RECORD, PAGE = ROOT / "docs/recipes.json", ROOT / "docs/recipes.md"
PARTS = ("train", "validation", "test")
SAMPLE = {"train": 12, "validation": 4, "test": 4}  # pictures a class for networks with random weights
STAND_IN = "efficientnet_lite0"
PLAIN, STORY = "plain-", "story-"  # before the name of a tutorial, before a size
SIZES = (128, 224)


@dataclass(frozen=True)
class Recipe:
    """One tutorial: what it does, its commands here, and the same with its own network and random weights."""

    title: str
    about: str
    commands: tuple[str, ...]
    own: tuple[str, ...]
    remark: str = ""


RECIPES = {
    "resnet50-dense": Recipe(
        "ResNet50 and a dense layer",
        "ResNet50 without its top, frozen; global average pooling, `Dense(1024, relu)`, softmax. Folders `train` and "
        "`validation`. Shear, zoom and flips. Then the last 50 layers are unfrozen, SGD with 1e-4 and momentum 0.9.",
        (
            "extract data/ --input-size 128",
            "fit-head --model mlp --hidden 1024",
            "finetune --top 50 --optimizer sgd --lr 1e-4 --momentum 0.9 --schedule constant --augment tutorial-a",
        ),
        (
            "extract sample/ --backbone resnet50 --weights none",
            "fit-head --model mlp --hidden 1024 --no-curve",
            "finetune --top 50 --optimizer sgd --lr 1e-4 --momentum 0.9 --augment tutorial-a --epochs 1 --views 1",
        ),
        "With pretrained weights leave out `--weights none`: Keras downloads them. A fine-tune begins with a linear "
        "head, so the dense layer's answers are taught to one first; a line says what that costs. From a head that is "
        "fitted already, SGD with 1e-4 finds nothing better; the defaults do, see below.",
    ),
    "hub-inception": Recipe(
        "InceptionV3 of TF-Hub and a dense layer",
        "`hub.KerasLayer` on an InceptionV3 module, frozen; `Flatten`, `Dense(1024)`, `Dense(5, softmax)`; then "
        "`trainable = True` for all of it.",
        (
            "extract data/ --input-size 128",
            "fit-head --model mlp --hidden 1024",
            "finetune --all --optimizer adam --lr 1e-5 --schedule constant --views 0 --epochs 3",
        ),
        (
            "extract sample/ --backbone savedmodel:inception_v3/ --input-size 128",
            "fit-head --model mlp --hidden 1024 --no-curve",
            "finetune --all",
            "extract sample/ --backbone inception_v3 --weights none --input-size 128",
            "fit-head --model mlp --hidden 1024 --no-curve",
            "finetune --all --epochs 1 --views 0",
        ),
        "`inception_v3/` is a SavedModel, as TF-Hub's modules are; a `.tar.gz` or its URL will do. Of a SavedModel the "
        "layers cannot be seen, so it stays frozen; the same network by its name can be trained. Three epochs with "
        "1e-5 find nothing better than the head; the defaults do, see below.",
    ),
    "mobilenet-flowers": Recipe(
        "MobileNetV2 on tf_flowers",
        "`tensorflow_datasets`, divided 80/10/10; 128 x 128 pixels; random flips, contrast, brightness, hue and "
        "saturation; a grid of samples; a small network from scratch to compare with; MobileNetV2, frozen, then from "
        "layer 129 with RMSprop 1e-4; TensorBoard, checkpoints, early stopping.",
        (
            "show flowers/ --out samples.png",
            "extract flowers/ --input-size 128",
            "baseline --input-size 128 --split 80/10/10 --epochs 5",
            "fit-head --model logreg --split 80/10/10",
            "finetune --from-layer 129 --optimizer rmsprop --lr 1e-4 --schedule constant --augment tutorial-c "
            "--tensorboard --checkpoint-every 5 --patience 5",
        ),
        (
            "extract sample/ --backbone mobilenet_v2 --weights none --input-size 128",
            "fit-head --model logreg --no-curve",
            "finetune --from-layer 129 --optimizer rmsprop --lr 1e-4 --augment tutorial-c --tensorboard "
            "--checkpoint-every 1 --patience 5 --epochs 2 --views 1",
        ),
        "Where the data set can be downloaded, `extract tfds:tf_flowers --input-size 128` takes the place of the "
        "folder. Layer 129 of MobileNetV2 leaves 25 layers to train; of the stand-in it leaves 12. Summary and diagram "
        "of the network are among the run's files, and so are the curves with the start of the fine-tuning.",
    ),
    "resnet50-mlp": Recipe(
        "ResNet50 and a batch-normalised MLP",
        "Paths and labels in a pandas table, shuffled; 80/20 with seed 42; rotation, shifts, shear, zoom, flips; "
        "ResNet50, frozen; `Flatten`, and dense layers of 2048 and 1024 with batch normalisation; 30 epochs.",
        (
            "manifest flowers/ --out labels.csv",
            "extract labels.csv --input-size 128",
            "fit-head --model mlp --hidden 2048,1024 --batch-norm --test-size 0.2 --seed 42 --folds 3 "
            "--views 1 --augment tutorial-d --no-curve",
        ),
        (
            "manifest sample/ --out few.csv",
            "extract few.csv --backbone resnet50 --weights none --input-size 64 --pooling flatten",
            "fit-head --model mlp --hidden 2048,1024 --batch-norm --no-curve",
        ),
        "`--pooling flatten` gives the tutorial's rows: 4 x 4 x 1,280 numbers of the stand-in at 128 pixels, in place "
        "of 1,280 averages. Averages train in a fraction of the time, so they are shown.",
    ),
}

STEPS = (
    ("`ImageDataGenerator.flow_from_directory`, `image_dataset_from_directory`", "`extract flowers/`"),
    ("folders `data/train`, `data/validation`", "`extract data/`"),
    ("`tfds.load('tf_flowers')`", "`extract tfds:tf_flowers`"),
    ("a pandas table of paths and labels", "`manifest flowers/ --out labels.csv`, `extract labels.csv`"),
    ("`train_test_split(..., random_state=42)`", "`fit-head --test-size 0.2 --seed 42`"),
    ("80/10/10", "`fit-head --split 80/10/10`"),
    ("a 3 x 3 grid of samples with labels", "`show flowers/`"),
    ("`ResNet50(include_top=False)`, frozen", "`extract flowers/ --backbone resnet50`"),
    ("`hub.KerasLayer(URL)`", "`extract flowers/ --backbone savedmodel:URL`"),
    ("`preprocess_input`", "done by the backbone's own rule; `--preprocessing` replaces it"),
    ("`GlobalAveragePooling2D`, `Flatten`", "`--pooling avg`, `--pooling flatten`"),
    ("`Dense(1024, relu)`, softmax", "`fit-head --model mlp --hidden 1024`"),
    ("dense layers with `BatchNormalization`", "`fit-head --model mlp --hidden 2048,1024 --batch-norm`"),
    ("random shear, zoom, flips, colours", "`--augment tutorial-a`, `tutorial-c`, `tutorial-d`"),
    ("a small CNN from scratch", "`baseline`"),
    ("`layer.trainable = True` for the last 50", "`finetune --top 50`"),
    ("from layer 129", "`finetune --from-layer 129`"),
    ("all of them", "`finetune --all`"),
    ("SGD, RMSprop, Adam", "`--optimizer sgd --lr 1e-4 --momentum 0.9`"),
    ("`EarlyStopping(patience=5)`", "`--patience 5`"),
    ("`ModelCheckpoint`", "`--checkpoint-every 5`, and every epoch survives a kill: `finetune --resume`"),
    ("`TensorBoard`", "`--tensorboard`"),
    ("`model.summary()`, `plot_model`", "`summary.txt`, `diagram.svg` of a fine-tune's run"),
    ("curves with a line where fine-tuning starts", "`curves.png` of the run"),
    ("`model.save`, `load_model`, `evaluate`", "`model.keras` of the run, `export`, `predict`; the report"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--only", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--render", action="store_true", help="write the page from what is recorded")
    options = parser.parse_args()
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if not options.render:
        if options.folder is None:
            parser.error("a folder of class folders is needed")
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(temporary)
            divide(options.folder.resolve(), place)
            for section in options.only:
                print(f"== {section}", flush=True)
                record[section] = SECTIONS[section](section, place)
                RECORD.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(render(record))


# --- measuring -----------------------------------------------------------------------------------------------


def divide(flowers: Path, place: Path) -> None:
    """Link the pictures as flowers/, as data/train, data/validation, data/test, and a few of these as sample/."""
    from cache.workspace import Workspace
    from classify.commands.finetune.start.start import begin
    from classify.data.splits import TEST
    from classify.runs.head_file import load_head
    from classify.training.settings import Settings

    (place / "flowers").symlink_to(flowers)
    workspace = place / "divide"
    coldframe(place, "extract flowers/ --input-size 128", workspace)
    run = json.loads(coldframe(place, "fit-head --no-curve --json", workspace)[0])["run"]
    start = begin(Workspace(workspace), load_head(Workspace(workspace), Path(run)), Settings(), say=print)
    manifest = start.data.manifest
    parts = (start.train, start.val, (start.division.split.part == TEST).nonzero()[0])
    for part, rows in zip(PARTS, parts, strict=True):
        count: dict[str, int] = {}
        for row in rows.tolist():
            label = manifest.classes[manifest.label[row]]
            count[label] = count.get(label, 0) + 1
            for tree in ("data", *(["sample"] if count[label] <= SAMPLE[part] else [])):
                link = place / tree / part / label / Path(manifest.paths[row]).name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(Path(manifest.root, manifest.paths[row]))


def coldframe(place: Path, command: str, workspace: Path, fails: bool = False) -> tuple[str, float]:
    """Run one command in `place`; its output and its seconds."""
    words = [sys.executable, str(ROOT / "cli.py"), *command.split(), "--workspace", str(workspace)]
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, cwd=place)
    seconds = time.monotonic() - began
    if (done.returncode != 0) != fails:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    said = done.stdout if not fails else done.stderr.splitlines()[-1]
    print(f"{seconds:.0f} s: {command}", flush=True)
    return said.strip("\n"), seconds


def recipe(name: str, place: Path) -> dict:
    """Run a tutorial's commands: with the stand-in on all pictures, with its own network on a sample."""
    chosen = RECIPES[name]
    if name == "hub-inception":
        save_inception(place / "inception_v3")
    done = {}
    for kind, commands in (("commands", chosen.commands), ("own", chosen.own)):
        workspace, savedmodel = place / f"{name}-{kind}", False
        steps = []
        for command in commands:
            if command.startswith("extract"):
                savedmodel = "savedmodel:" in command
            refused = savedmodel and command.startswith("finetune")
            text, seconds = coldframe(place, command, workspace, refused)
            text = text.replace(f"{workspace}/", ".../").replace(f"{place}/", ".../")
            steps.append({"command": command, "output": text, "seconds": round(seconds, 1)})
        done[kind] = steps
        shutil.rmtree(workspace)
    return done


def save_inception(folder: Path) -> None:
    """InceptionV3 with random weights as a SavedModel from pixels in [0, 1], as TF-Hub's modules are."""
    code = (
        "import sys, keras; keras.utils.set_random_seed(0); x = keras.Input((128, 128, 3)); "
        "n = keras.applications.InceptionV3(weights=None, include_top=False, input_shape=(128, 128, 3), pooling='avg');"
        "keras.Model(x, n(keras.layers.Rescaling(2.0, -1.0)(x))).export(sys.argv[1], verbose=False)"
    )
    if not folder.exists():
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)


def plain(section: str, place: Path) -> dict:
    """One tutorial in plain Keras, on the same parts and the stand-in."""
    script, name = ROOT / "benchmarks/tutorials.py", section.removeprefix(PLAIN)
    words = [sys.executable, str(script), name, str(place / "data"), "--size", str(SIZES[0])]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict = json.loads(done.stdout.splitlines()[-1])
    print(found, flush=True)
    return found


def ours(place: Path, size: int) -> dict:
    """Defaults throughout: extract, fit-head, finetune; seconds from nothing to the end of each."""
    workspace = place / f"ours-{size}"
    _, extracting = coldframe(place, f"extract data/ --input-size {size}", workspace)
    head, fitting = coldframe(place, "fit-head --no-curve --json", workspace)
    tuned, tuning = coldframe(place, "finetune --json", workspace)
    before, after = json.loads(head), json.loads(tuned)
    shutil.rmtree(workspace)
    return {
        "n": after["test_n"],
        "frozen": {
            "right": round(after["head_test_accuracy"] * after["test_n"]),
            "seconds": round(extracting + fitting, 1),
            "head": before["best"],
        },
        "tuned": {
            "right": round(after["test_accuracy"] * after["test_n"]),
            "seconds": round(extracting + fitting + tuning, 1),
            "epochs": after["epochs"],
            "seconds_per_epoch": after["seconds_per_epoch"],
        },
    }


def story(section: str, place: Path) -> dict:
    """From scratch, frozen and fine-tuned, at one size."""
    size = int(section.removeprefix(STORY))
    workspace = place / section
    coldframe(place, f"extract data/ --input-size {size}", workspace)
    text, seconds = coldframe(place, f"baseline --input-size {size} --json", workspace)
    scratch = json.loads(text)
    shutil.rmtree(workspace)
    right = round(scratch["test_accuracy"] * scratch["test_n"])
    return {"size": size, "scratch": {"right": right, "seconds": round(seconds, 1)}, **ours(place, size)}


SECTIONS = dict.fromkeys(RECIPES, recipe) | {f"{PLAIN}{name}": plain for name in RECIPES}
SECTIONS |= {f"{STORY}{size}": story for size in SIZES}


# --- the page ------------------------------------------------------------------------------------------------


def render(record: dict) -> str:
    """The page, from what is recorded."""
    plain_rows = [record[name] for name in SECTIONS if name.startswith(PLAIN) and name in record]
    stories = [record[name] for name in SECTIONS if name.startswith(STORY) and name in record]
    parts = [
        "# Recipes: the classic tutorials",
        "This page is written by a script; change the script, not the page.",
        fence("sh", "python benchmarks/recipes.py flowers/"),
        "Four tutorials taught many people transfer learning. Here is each of their steps, and each of them as "
        "commands with what they print." + (" Their own code comes after that." if plain_rows else ""),
        "Their networks are ResNet50, InceptionV3 and MobileNetV2, whose weights Keras downloads. The machine of these "
        f"measurements could not do that. So the figures are of `{STAND_IN}` in their place; and each network itself "
        "is run with random weights on 20 pictures a class, to show that the commands work with it. Figures of random "
        "weights mean nothing. The fine-tunings among the commands were run before weights were averaged over steps: "
        "today `--average 0` does without.",
        "## Each step",
        table(("in the tutorials", "here"), STEPS),
    ]
    for name, chosen in RECIPES.items():
        parts += [f"## {chosen.title}", chosen.about]
        if name in record:
            parts += [
                session(record[name]["commands"]),
                "The same with the tutorial's own network, random weights, 20 pictures a class:",
                session(record[name]["own"]),
            ]
        parts.append(chosen.remark)
    if plain_rows and stories:
        parts += ["## Tutorial against coldframe", *against(plain_rows, stories[0])]
    if stories:
        parts += ["## The whole story", *whole_story(stories)]
    return "\n\n".join(wrapped(part) for part in parts if part) + "\n"


def against(rows: Sequence[dict], mine: dict) -> list[str]:
    lines = []
    for row in (*rows, mine):
        title = RECIPES[row["name"]].title if "name" in row else "coldframe, defaults"
        for act, what in (("frozen", "frozen"), ("tuned", "then fine-tuned")):
            if act in row:
                found = row[act]
                an_epoch = f"{found['seconds_per_epoch']:.0f}" if "seconds_per_epoch" in found else ""
                epochs = str(found.get("epochs", ""))
                lines.append(
                    (title, what, accuracy(found, row["n"]), epochs, an_epoch, f"{found['seconds']:.0f}")
                )
    return [
        f"One split, 128 x 128 pixels, `{STAND_IN}` everywhere, seed 0; accuracy on n = {mine['n']} test pictures that "
        "took part in nothing, with Wilson's 95 % interval. The tutorials are in plain Keras, in "
        "`benchmarks/tutorials.py`, as their authors wrote them: their random heads, optimizers and epochs; and where "
        "they scale pixels unlike their network was trained (both of ResNet50: by 1/255), so is it here. Seconds are "
        "from nothing to the answer, without the start of Python for the tutorials, and "
        "with everything for coldframe: its extraction, cross-validation, calibration and report. The tutorials were "
        "measured earlier, on a machine about a third slower. Other work ran "
        "beside all of them, at a low priority. The unfrozen BatchNormalization layers of the tutorials go by the "
        "statistics of each batch, also where `training=False` was asked for: Keras 3 overrides that in `fit`.",
        table(("", "", "test accuracy", "epochs", "seconds an epoch", "seconds in all"), lines),
    ]


def whole_story(rows: Sequence[dict]) -> list[str]:
    lines = []
    for row in rows:
        for act, what in (
            ("scratch", "a small CNN from scratch: `baseline`"),
            ("frozen", "frozen network and head: `extract`, `fit-head`"),
            ("tuned", "fine-tuned: and `finetune`"),
        ):
            lines.append((str(row["size"]), what, accuracy(row[act], row["n"]), f"{row[act]['seconds']:.0f}"))
    return [
        f"n = {rows[0]['n']} test pictures, seed 0, defaults. Seconds are of all commands from nothing, two cores. "
        "Those at 224 pixels are of an earlier version, on a slower machine.",
        table(("pixels", "", "test accuracy", "seconds"), lines),
    ]


def accuracy(found: dict, n: int) -> str:
    from classify.metrics.intervals import wilson

    low, high = wilson(found["right"], n)
    return f"{found['right'] / n:.1%} ({low:.1%} to {high:.1%})"


def wrapped(part: str) -> str:
    """A paragraph in lines of the length that all pages have; blocks and tables as they are."""
    return (
        part
        if part.startswith(("#", "```", "| "))
        else textwrap.fill(part, 118, break_long_words=False, break_on_hyphens=False)
    )


def session(steps: Sequence[dict]) -> str:
    texts = [f"$ python cli.py {step['command']}\n{step['output']}".rstrip() for step in steps]
    return fence("console", "\n".join(texts))


def fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
