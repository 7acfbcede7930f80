"""The command line: parse, call one library function, print. Heavy imports happen inside the commands."""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cache.errors import UserError
from extract.pictures.policies import POLICIES

DONE, FAILED, REJECTS, INTERRUPTED = 0, 1, 3, 130
AUGMENTATIONS = ", ".join(POLICIES)
SHOWN = 10  # rejects, conflicts or predictions listed on the terminal; all of them are in the files


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    warnings.showwarning = lambda message, *_: say(f"warning: {message}")
    try:
        return options.command(options)
    except UserError as error:
        say(f"error: {error}")
        return FAILED
    except KeyboardInterrupt:
        say("Interrupted. What was sealed or finished is kept: run the same command to go on.")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough, as with `| head`
        sys.stdout = None
        return DONE


def say(text: str) -> None:
    """Tell people something; standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def show(options: argparse.Namespace, value: Any, text: str) -> None:
    """Print a result: the object with --json, else the text."""
    print(json.dumps(value) if options.json else text, flush=True)


# --- commands ------------------------------------------------------------------------------------------------


def extract(options: argparse.Namespace) -> int:
    from extract.commands.extract import extract, extract_views
    from extract.embedding.views import Views

    views = Views.of(options.views, options.augment)
    summary = extract(
        _workspace(options),
        Path(options.source),
        _elected(options) if options.backbone == "auto" else _backbone(options),
        _decoding(options),
        _extract_options(options),
        name=options.name,
        progress=_progress(),
        data_dir=options.data_dir,
    )
    _list_rejects(summary.rejects)
    if summary.conflicts:
        listed = ", ".join(map(_plain, summary.conflicts[:SHOWN]))
        say(f"warning: {len(summary.conflicts):,} files hold a picture that is in two classes: {listed}")
    rate = f", {summary.images_per_second:,.1f} images/s" if summary.embedded else ""
    text = (
        f"{summary.dataset}: {summary.files:,} files = {summary.embedded:,} embedded + {summary.cached:,} cached "
        f"+ {summary.rejected:,} rejected in {summary.seconds:.1f} s{rate}\n"
        f"space {summary.space[:12]} ({summary.backbone} on {summary.engine}) in {_workspace(options).root}"
    )
    found, rejected = summary.to_json(), summary.rejected
    nothing = 0 < summary.files == summary.rejected and options.shard == (1, 1)
    if views.number and not nothing:
        how = _decoding(options), _extract_options(options)
        viewed = extract_views(_workspace(options), summary, views, *how, _progress())
        _list_rejects(viewed.rejects)
        found["views"] = viewed.to_json()
        text += f"\n{views}: {viewed.to_text()}"
        rejected += viewed.rejected
    show(options, found, text)
    if nothing:
        raise UserError(_all_rejected(f" in {summary.dataset}", summary.rejected))
    return REJECTS if options.strict and rejected else DONE


def compare_backbones(options: argparse.Namespace) -> int:
    result, _ = _tournament(options)
    for note in result.notes:
        say(note)
    show(options, result.to_json(), result.to_text())
    return DONE


def manifest(options: argparse.Namespace) -> int:
    from extract.commands.manifest import survey

    found = survey(
        _workspace(options),
        Path(options.source),
        options.name,
        _progress(),
        options.data_dir,
        Path(options.out) if options.out else None,
        force=options.force,
    )
    show(options, found.to_json(), found.to_text())
    return DONE


def show_pictures(options: argparse.Namespace) -> int:
    from classify.commands.options import SampleOptions
    from classify.commands.show import show_samples

    result = show_samples(
        _workspace(options),
        options.source,
        SampleOptions(options.grid, options.augment, options.seed, options.split),
        out=Path(options.out) if options.out else None,
        data_dir=options.data_dir,
        note=say,
    )
    show(options, result.to_json(), result.to_text())
    return DONE


def fit_head(options: argparse.Namespace) -> int:
    from classify.commands.fit_head.command import fit_heads
    from classify.commands.fit_head.options import FitOptions
    from extract.embedding.views import Views

    chosen = FitOptions(
        models=options.model.split(","),
        folds=options.folds,
        test_size=options.test_size,
        split=options.split,
        seed=options.seed,
        n_jobs=options.jobs,
        budget=options.budget,
        class_weight=options.class_weight,
        group_by=options.group_by,
        curve=not options.no_curve,
        views=Views.of(options.views, options.augment),
        hidden=options.hidden,
        batch_norm=options.batch_norm,
    )
    result = fit_heads(
        _workspace(options),
        chosen,
        dataset=options.dataset,
        space=options.space,
        on_progress=say,
        progress=_progress(),
    )
    for note in result.notes:
        say(note)
    show(options, result.to_json(), result.to_text())
    return INTERRUPTED if result.interrupted else DONE


def finetune(options: argparse.Namespace) -> int:
    from classify.commands.finetune.command import finetune
    from classify.training.settings import Settings
    from extract.settings import Options

    result = finetune(
        _workspace(options),
        _given(options, Settings),
        run=options.run,
        resume=options.resume,
        options=Options(engine=options.engine, workers=options.workers),
        trust=options.trust,
        progress=_progress(),
        say=say,
    )
    for note in result.notes:
        say(note)
    show(options, result.to_json(), result.to_text())
    return DONE


def baseline(options: argparse.Namespace) -> int:
    from classify.commands.baseline.command import baseline
    from classify.commands.baseline.options import Settings

    settings = Settings(**_given(options, Settings))
    result = baseline(_workspace(options), settings, dataset=options.dataset, space=options.space, say=say)
    for note in result.notes:
        say(note)
    show(options, result.to_json(), result.to_text())
    return INTERRUPTED if result.interrupted else DONE


def export(options: argparse.Namespace) -> int:
    from classify.commands.export.command import export
    from classify.runs.folder import find_run

    workspace = _workspace(options)
    result = export(
        workspace,
        find_run(workspace, options.run),
        options.to,
        Path(options.out) if options.out else None,
        int8=options.int8,
        force=options.force,
        trust=options.trust,
        say=say,
    )
    show(options, result.to_json(), result.to_text())
    return DONE


def predict(options: argparse.Namespace) -> int:
    from classify.commands.predict import predict

    found = predict(
        _workspace(options),
        [Path(path) for path in options.paths],
        run=options.run,
        space=options.space,
        top=options.top,
        options=_extract_options(options),
        trust=options.trust,
        progress=_progress(),
    )
    for reject in found.rejects[:SHOWN]:
        say(f"rejected {_plain(reject.path)}: {reject.reason}")
    if options.json:
        print(json.dumps(found.records()))
    else:
        lines = found.csv().splitlines()
        terminal = sys.stdout.isatty()
        print("\n".join(lines[: SHOWN + 1] if terminal else lines))
        if terminal and len(lines) > SHOWN + 1:
            say(f"... and {len(lines) - SHOWN - 1:,} more")
    say(
        f"{len(found.predictions.paths):,} pictures classified by {found.run.name}, {len(found.rejects):,} rejected: "
        f"{found.file}"
    )
    if found.rejects and not found.predictions.paths:
        raise UserError(_all_rejected("", len(found.rejects)))
    return REJECTS if options.strict and found.rejects else DONE


def demo(options: argparse.Namespace) -> int:
    from classify.commands.demo import run_demo

    run_demo(lambda *words: main(words), Path(options.out), options.data, options.quick)
    return DONE


def backbones(options: argparse.Namespace) -> int:
    from extract.backbones.external.kinds import KINDS
    from extract.backbones.families import FAMILIES, weights_state

    rows = []
    for name, family in FAMILIES.items():
        source, here = weights_state(name)
        rows.append(
            {
                "name": name,
                "input_size": family.input_size,
                "dim": family.dim,
                "parameters": family.parameters,
                "weights": source,
                "here": here,
            }
        )
    others = ", ".join(kind.example for kind in KINDS.values())
    show(
        options, rows, f"{_table(rows)}\n\nand models of your own or from elsewhere: {others}; see the guide"
    )
    return DONE


def cache_ls(options: argparse.Namespace) -> int:
    from cache.commands.ls import list_workspace

    listing = list_workspace(_workspace(options))
    tables = [f"{title}\n{_table(rows)}" for title, rows in listing.items() if rows]
    show(options, listing, "\n\n".join(tables) or "nothing here yet: run `python cli.py extract FOLDER/`")
    return DONE


def cache_verify(options: argparse.Namespace) -> int:
    from cache.commands.verify import verify

    workspace = _workspace(options)
    stores = [workspace.store_by_id(options.space)] if options.space else workspace.spaces()
    damaged = [str(path) for store in stores for path in verify(store)]
    rows = sum(len(store) for store in stores)
    report: dict[str, Any] = {"spaces": len(stores), "rows": rows, "damaged": damaged}
    text = f"{len(stores)} spaces, {rows:,} rows: {len(damaged)} damaged shards"
    differing = 0
    if options.recompute:
        from extract.commands.recompute import recompute

        again = recompute(
            _workspace(options), options.recompute, options.dataset, options.space, options.seed
        )
        report |= again.to_json()
        differing = again.differing
        text += f"\n{again.to_text()}"
    show(options, report, text)
    return FAILED if damaged or differing else DONE


def cache_gc(options: argparse.Namespace) -> int:
    from cache.commands.gc import collect

    results = [collect(store) for store in _workspace(options).spaces()]
    damaged = [str(path) for result in results for path in result.damaged]
    report = {
        "merged": sum(result.merged for result in results),
        "sealed": sum(result.sealed for result in results),
        "temporary": sum(result.temporary for result in results),
        "damaged": damaged,
    }
    text = (
        f"{report['merged']} shards merged into {report['sealed']}, {report['temporary']} leftover temporary "
        f"files removed, {len(damaged)} damaged shards set aside"
    )
    show(options, report, text)
    return FAILED if damaged else DONE


def cache_export(options: argparse.Namespace) -> int:
    from cache.commands.export import export

    data = _workspace(options).load(options.dataset, options.space)
    rows = export(data.manifest, data.store, Path(options.out), force=options.force)
    report = {"rows": rows, "missing": data.missing, "file": options.out, "space": data.space.id}
    show(
        options,
        report,
        f"{rows:,} rows of {data.name} written to {options.out}, {data.missing:,} had no embedding",
    )
    return DONE


# --- options -------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coldframe",
        description="Train image classifiers from a folder of pictures: run a pretrained network over them once, then "
        "compare classifiers in seconds, fine-tune, predict and export.",
        epilog="Start with: python cli.py demo",
    )
    parser.add_argument("--version", action="version", version="coldframe 0.1.0")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    p = _command(
        commands,
        "extract",
        extract,
        "run a network over labelled pictures, keep what it says",
        "extract flowers/",
    )
    _source_options(p)
    p.add_argument(
        "--backbone",
        default="efficientnet_lite0",
        help="see the command backbones; auto: the winner of a tournament; or savedmodel:PATH, keras:FILE.keras, "
        "kerashub:PRESET",
    )
    p.add_argument(
        "--weights", default="pretrained", help="pretrained (or imagenet), none (random) or a file"
    )
    p.add_argument("--input-size", type=_positive, help="pixels a side (default: the backbone's own)")
    p.add_argument(
        "--pooling",
        type=_pooling,
        default="avg",
        help="how feature maps become rows: avg, max or flatten; avg@NAME (or layer:NAME) for those of an inner layer",
    )
    _preprocessing_option(p)
    p.add_argument(
        "--resize", default="crop", choices=["crop", "squash", "pad"], help="how pictures become square"
    )
    p.add_argument(
        "--max-pixels", type=_positive, default=64_000_000, help="reject larger pictures (64 million)"
    )
    p.add_argument(
        "--precision",
        default="float32",
        choices=["float32", "float16"],
        help="of the computation; float16 is for a GPU",
    )
    p.add_argument(
        "--dtype",
        default="float32",
        choices=["float32", "float16"],
        help="of stored rows; float16 halves them",
    )
    p.add_argument(
        "--shard", type=_shard, default=(1, 1), metavar="I/N", help="only part I of N, for N machines"
    )
    _view_options(p)
    p.add_argument(
        "--rehash", action="store_true", help="read all files again, whatever their size and time say"
    )
    p.add_argument("--force", action="store_true", help="embed all pictures again, cached or not")
    _engine_options(p)

    p = _command(
        commands,
        "compare-backbones",
        compare_backbones,
        "rank backbones on a sample, accuracy against cost",
        "compare-backbones flowers/",
    )
    p.add_argument("source", nargs="?", help="folder or table of pictures (default: the current data set)")
    p.add_argument("--name", help="name of the data set (default: the folder's, or the current one)")
    _data_dir_option(p)
    p.add_argument("--backbone", metavar="NAME,NAME", help="default: all whose weights are on this machine")
    p.add_argument(
        "--weights", default="pretrained", help="pretrained, none (random), or a file for one backbone"
    )
    p.add_argument("--input-size", type=_positive, help="pixels a side (default: each backbone's own)")
    p.add_argument(
        "--pooling", default="avg", choices=["avg", "max", "flatten"], help="how feature maps become rows"
    )
    _preprocessing_option(p)
    p.add_argument(
        "--resize", default="crop", choices=["crop", "squash", "pad"], help="how pictures become square"
    )
    p.add_argument("--sample", type=_positive, default=500, help="training pictures, at most (500)")
    p.add_argument("--test-size", type=float, default=0.2, help="held-out share, as for fit-head (0.2)")
    p.add_argument("--seed", type=int, default=0, help="of split (as for fit-head), sample and folds (0)")
    p.add_argument("--retime", action="store_true", help="measure costs again")
    p.add_argument(
        "--engine", default="auto", choices=["auto", "litert", "keras"], help="what runs the backbones"
    )
    p.add_argument("--batch-size", type=_positive, help="pictures per step (default: the engine's own)")
    p.add_argument("--workers", type=_positive, help="reading threads (default: one per core)")

    p = _command(
        commands, "manifest", manifest, "list what a folder holds, without embedding", "manifest flowers/"
    )
    _source_options(p)
    p.add_argument("--out", help="write path, label, split and key as a table: .csv, .tsv or .parquet")
    p.add_argument("--force", action="store_true", help="replace an existing table")

    p = _command(
        commands, "show", show_pictures, "draw random pictures with their labels", "show flowers/ --grid 3x3"
    )
    p.add_argument(
        "source",
        nargs="?",
        help="what extract takes, or the name of a data set (default: the last extracted)",
    )
    p.add_argument("--out", help="PNG file to write (default: in a run folder)")
    p.add_argument("--grid", default="3x3", metavar="ROWSxCOLUMNS", help="how many pictures (3x3)")
    p.add_argument(
        "--augment", metavar="POLICY", help=f"draw augmented views beside each picture: {AUGMENTATIONS}"
    )
    p.add_argument("--seed", type=int, default=0, help="which pictures, and which views (0)")
    p.add_argument("--split", choices=["train", "val", "test"], help="only this part of the data set")
    _data_dir_option(p)

    p = _command(commands, "fit-head", fit_head, "train and compare classifiers", "fit-head --model all")
    p.add_argument(
        "--model",
        default="logreg",
        help="a head, several with commas, all, or module:factory for one of your own",
    )
    p.add_argument("--folds", type=_positive, default=5, help="of cross-validation (5)")
    parts = p.add_mutually_exclusive_group()
    parts.add_argument(
        "--test-size", type=float, default=0.2, help="held-out share where the data has none (0.2)"
    )
    parts.add_argument(
        "--split", metavar="TRAIN/VAL/TEST", help="shares of the parts, as 80/10/10 or 80/20, instead"
    )
    p.add_argument("--seed", type=int, default=0, help="of split and folds (0)")
    p.add_argument("--jobs", type=_positive, help="threads (default: one per core)")
    p.add_argument(
        "--budget", type=_seconds, help="time for all searches, as 90s or 5m (for --model all: 60s)"
    )
    p.add_argument(
        "--class-weight", default="none", choices=["none", "balanced"], help="balanced: classes count alike"
    )
    p.add_argument(
        "--group-by", metavar="COLUMN", help="keep rows with the same value together (tables only)"
    )
    p.add_argument("--no-curve", action="store_true", help="leave out the learning curve")
    _view_options(p)
    p.add_argument(
        "--hidden",
        type=_layers,
        metavar="N,N",
        help="widths of the mlp's hidden layers, as 2048,1024 or 1024",
    )
    p.add_argument("--batch-norm", action="store_true", help="normalise batches before each layer of the mlp")
    _data_options(p)

    p = _command(
        commands,
        "finetune",
        finetune,
        "train the top of the network, from the best head, never worse than it",
        "finetune --top 50",
    )
    _finetune_options(p)

    p = _command(
        commands,
        "baseline",
        baseline,
        "train a small network from scratch, to see what transfer gains",
        "baseline --epochs 15",
    )
    for name, kind, help in (
        ("input-size", _positive, "pixels a side (128)"),
        ("epochs", int, "most passes over the training pictures (15)"),
        ("augment", str, f"kind of augmentation, new in each epoch (flip): {AUGMENTATIONS}"),
        ("batch-size", int, "pictures per step (32)"),
        ("lr", float, "learning rate of Adam (1e-3)"),
        ("patience", int, "stop after so many epochs without a lower validation loss (5)"),
        ("val-size", float, "share of the training part that validates, if the data has no such part (0.15)"),
        ("seed", int, "of the split, as in fit-head, and of the training (0)"),
        ("max-memory-gb", float, "more decoded pictures than this are read in each epoch (2)"),
    ):
        p.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=help)
    parts = p.add_mutually_exclusive_group()
    for name, kind, help in (
        ("test-size", float, "held-out share where the data has none, as in fit-head (0.2)"),
        ("split", str, "shares of the parts, as 80/10/10, instead; as in fit-head"),
    ):
        parts.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=help)
    _data_options(p)

    p = _command(
        commands,
        "export",
        export,
        "write a model for another program",
        "export --to tflite --out flowers.tflite",
    )
    p.add_argument(
        "--to",
        required=True,
        choices=["keras", "savedmodel", "tflite", "onnx", "saved-head"],
        help="keras, savedmodel (TensorFlow), tflite (phones), onnx; saved-head: the head alone, from embeddings",
    )
    p.add_argument("--out", help="file or folder to write (default: in the run's folder)")
    p.add_argument("--run", help="folder of the run to export (default: the best)")
    p.add_argument(
        "--int8", action="store_true", help="tflite in 8-bit integers: smaller, a little less exact"
    )
    p.add_argument("--force", action="store_true", help="replace what is there")
    p.add_argument(
        "--trust",
        action="store_true",
        help="load a head that this workspace did not write: its code runs",
    )

    p = _command(commands, "predict", predict, "classify pictures with the best run", "predict new_photos/")
    p.add_argument("paths", nargs="+", metavar="PATH", help="picture or folder")
    p.add_argument("--run", help="folder of the run to use (default: the best)")
    p.add_argument("--space", help="refuse a run of another space than this")
    p.add_argument("--top", type=_positive, default=3, help="classes to list per picture (3)")
    p.add_argument(
        "--trust",
        action="store_true",
        help="load a head that this workspace did not write: its code runs",
    )
    _engine_options(p)

    help = "the whole job on real pictures; needs no internet connection"
    p = commands.add_parser("demo", help=help, description=help, epilog="example: python cli.py demo --quick")
    p.set_defaults(command=demo)
    p.add_argument("--quick", action="store_true", help="a few hundred pictures")
    p.add_argument("--data", help="your own folder of class folders instead of the digits")
    p.add_argument("--out", default="coldframe-demo", help="where to put pictures, cache and runs")

    _command(commands, "backbones", backbones, "list the backbones, and what else can be one", "backbones")

    group = commands.add_parser("cache", help="look after the cache").add_subparsers(
        required=True, metavar="COMMAND"
    )
    _command(group, "ls", cache_ls, "list data sets and spaces", "cache ls")
    p = _command(
        group, "verify", cache_verify, "check every shard against its hash", "cache verify --recompute 20"
    )
    p.add_argument("--recompute", type=_positive, metavar="K", help="also embed K pictures again and compare")
    p.add_argument("--seed", type=int, default=0, help="which K pictures (0)")
    _data_options(p)
    _command(group, "gc", cache_gc, "merge small shards, remove leftovers", "cache gc")
    p = _command(group, "export", cache_export, "write one plain HDF5 file", "cache export flowers.h5")
    p.add_argument("out", metavar="OUT.h5", help="file to write")
    p.add_argument("--force", action="store_true", help="replace an existing file")
    _data_options(p)
    return parser


def _command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], int], help: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=help, description=help, epilog=f"example: python cli.py {example}"
    )
    parser.add_argument(
        "--workspace", help="folder of cache and state (default: .coldframe, or COLDFRAME_WORKSPACE)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON value for scripts")
    parser.set_defaults(command=function)
    return parser


def _source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        help="folder with one folder per class, or with train/validation/test folders of them; or a table (.csv, .tsv, "
        ".parquet), an archive (.zip, .tar, .tgz, ...) or tfds:NAME",
    )
    parser.add_argument("--name", help="name of the data set (default: the source's)")
    _data_dir_option(parser)


def _data_dir_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", help="folder of TensorFlow Datasets (default: TFDS_DATA_DIR, or ~/tensorflow_datasets)"
    )


def _preprocessing_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preprocessing",
        choices=["lite", "tf", "torch", "caffe", "unit", "none"],
        help="of pictures for the network (default: the backbone's own)",
    )


def _view_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--views",
        type=int,
        default=0,
        metavar="K",
        help="also use K augmented views of each training picture (0)",
    )
    parser.add_argument(
        "--augment", metavar="POLICY", help=f"augmentation of the views (standard): {AUGMENTATIONS}"
    )


def _engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", default="auto", choices=["auto", "litert", "keras"], help="what runs the backbone"
    )
    parser.add_argument("--batch-size", type=_positive, help="pictures per step (default: the engine's own)")
    parser.add_argument("--workers", type=_positive, help="reading threads (default: one per core)")
    parser.add_argument("--strict", action="store_true", help="exit code 3 if a picture was rejected")


def _finetune_options(parser: argparse.ArgumentParser) -> None:
    """Options of finetune; what is not given has its default in `classify.training.settings`."""
    where = parser.add_mutually_exclusive_group()
    unset = argparse.SUPPRESS
    where.add_argument("--top", type=int, default=unset, metavar="N", help="the last N layers train (50)")
    where.add_argument(
        "--from-layer",
        default=unset,
        metavar="N|NAME",
        help="everything from a layer up trains, as 129 or a name",
    )
    where.add_argument(
        "--all", dest="everything", action="store_true", default=unset, help="the whole backbone trains"
    )
    parser.add_argument("--run", help="the fit-head run to start from (default: the best linear one)")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="go on with the last unfinished run, or with this one",
    )
    for name, kind, help in (
        ("epochs", int, "most passes over the training pictures (10)"),
        ("batch-size", int, "pictures per step (32)"),
        ("optimizer", str, "adamw, adam, sgd or rmsprop (adamw)"),
        ("lr", float, "learning rate at its highest (adamw, adam: 3e-4; rmsprop: 1e-4; sgd: 1e-2)"),
        ("momentum", float, "of sgd and rmsprop (0.9)"),
        ("weight-decay", float, "of adamw (0)"),
        ("layer-decay", float, "share of the learning rate that each layer has of the one above (1)"),
        ("schedule", str, "of the learning rate: cosine to zero after a short rise, or constant (cosine)"),
        ("label-smoothing", float, "share of each target spread over all classes (0)"),
        ("mixup", float, "mix pairs of pictures' activations, by Beta(a, a) (0: do not)"),
        ("class-weight", str, "none or balanced (as the head was fitted)"),
        ("patience", int, "stop after so many epochs without a lower validation loss (5)"),
        ("views", int, "augmented views of each picture, besides the plain one (3)"),
        ("augment", str, f"kind of augmentation of the views (standard): {AUGMENTATIONS}"),
        ("val-size", float, "share of the training part that validates, if the data has no such part (0.15)"),
        ("seed", int, "of batches and views (0)"),
        ("dtype", str, "of the cached activations: float16 or float32 (float16)"),
        ("precision", str, "of the training: float32, float16, or auto: float16 on a GPU (auto)"),
        ("max-cache-gb", float, "more activations than this are computed live in each epoch (20)"),
        ("checkpoint-every", int, "also keep a model every so many epochs (0: do not)"),
    ):
        parser.add_argument(f"--{name}", type=kind, default=unset, help=help)
    parser.add_argument(
        "--tensorboard", action="store_true", default=unset, help="write logs for TensorBoard"
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="load a head that this workspace did not write: its code runs",
    )
    parser.add_argument(
        "--engine", default="auto", choices=["auto", "litert", "keras"], help="what runs the frozen part"
    )
    parser.add_argument("--workers", type=_positive, help="reading threads (default: one per core)")


def _data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", help="name of the data set (default: the last extracted)")
    parser.add_argument("--space", help="start of a space's id (default: the last extracted)")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, received {text}")
    return int(text)


def _layers(text: str) -> tuple[int, ...]:
    widths = text.split(",")
    if not all(width.isdecimal() and int(width) > 0 for width in widths):
        raise argparse.ArgumentTypeError(f"expected widths such as 1024 or 2048,1024, received {text}")
    return tuple(map(int, widths))


def _pooling(text: str) -> str:
    how = text.partition("@")[0]
    if text.startswith("layer:") and text != "layer:":
        return f"avg@{text.removeprefix('layer:')}"
    if how not in ("avg", "max", "flatten") or text.endswith("@"):
        raise argparse.ArgumentTypeError(
            f"expected avg, max or flatten, any of them with @LAYER, or layer:LAYER; received {text}"
        )
    return text


def _seconds(text: str) -> float:
    number, unit = (text[:-1], text[-1]) if text[-1:] in ("s", "m", "h") else (text, "s")
    try:
        value = float(number) * {"s": 1, "m": 60, "h": 3600}[unit]
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a time such as 90s, 5m or 1h, received {text}")
    return value


def _shard(text: str) -> tuple[int, int]:
    i, _, n = text.partition("/")
    if not (i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, received {text}")
    return int(i), int(n)


def _workspace(options: argparse.Namespace) -> Any:
    from cache.workspace import Workspace

    return Workspace.locate(options.workspace)


def _backbone(options: argparse.Namespace) -> Any:
    from extract.backbones.backbone import Backbone

    return Backbone.of(
        options.backbone,
        options.weights,
        options.input_size,
        options.pooling,
        options.precision,
        options.preprocessing,
    )


def _elected(options: argparse.Namespace) -> Any:
    """The winner of a tournament on the pictures to extract."""
    if options.shard != (1, 1):
        raise UserError(
            "Expected a backbone's name with --shard, received auto: each machine might elect another. Run "
            "`compare-backbones` once, and name the winner."
        )
    result, winner = _tournament(options)
    say(f"{result.to_text()}\nextracting with {result.winner.backbone}")
    return winner


def _tournament(options: argparse.Namespace) -> Any:
    from classify.commands.compare_backbones.command import compare_backbones
    from classify.commands.compare_backbones.options import Contest

    named = (options.backbone or "auto").split(",")
    given = _given(options, Contest) | {"backbones": () if named == ["auto"] else tuple(named)}
    return compare_backbones(
        _workspace(options),
        Contest(**given),
        source=Path(options.source) if options.source else None,
        dataset=options.name,
        decoding=_decoding(options),
        options=_extract_options(options),
        progress=_progress(),
        data_dir=options.data_dir,
        say=say,
    )


def _decoding(options: argparse.Namespace) -> Any:
    from extract.settings import Decoding

    return Decoding(**_given(options, Decoding))


def _extract_options(options: argparse.Namespace) -> Any:
    from extract.settings import Options

    return Options(**_given(options, Options))


def _given(options: argparse.Namespace, kind: Any) -> dict[str, Any]:
    """The fields of a dataclass for which there is an option."""
    from dataclasses import fields

    return {name: getattr(options, name) for f in fields(kind) if hasattr(options, name := f.name)}


# --- the terminal --------------------------------------------------------------------------------------------


def _progress() -> Any:
    """A bar with rate, time left and rejects on standard error."""
    from tqdm import tqdm

    from extract.embedding.progress import Progress

    bar: tqdm | None = None
    rejects = 0

    def start(files: int) -> None:
        nonlocal bar
        interval = 0.2 if sys.stderr.isatty() else 10.0
        bar = tqdm(
            total=files, unit=" images", mininterval=interval, delay=1.0, leave=False, dynamic_ncols=True
        )

    def advance(done: int, rejected: int) -> None:
        nonlocal rejects
        assert bar is not None
        if rejected:
            rejects += rejected
            bar.set_postfix_str(f"{rejects} rejected", refresh=False)
        bar.update(done)
        if bar.n >= bar.total:
            bar.close()

    return Progress(start, advance, say)


def _list_rejects(rejects: list[Any]) -> None:
    for reject in rejects[:SHOWN]:
        say(f"rejected {_plain(reject.path)}: {reject.reason}")
    if len(rejects) > SHOWN:
        say(f"... and {len(rejects) - SHOWN:,} more rejects: --json lists them all")


def _all_rejected(where: str, count: int) -> str:
    files = "1 file" if count == 1 else f"{count:,} files"
    return (
        f"Expected at least one readable picture{where}, received {files}, all rejected (reasons above). The guide "
        "says which formats are read, and what each reason means."
    )


def _table(rows: list[dict[str, Any]]) -> str:
    """Align dictionaries with the same keys as columns; numbers to the right."""
    cells = [[key.replace("_", " ") for key in rows[0]]]
    cells += [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [isinstance(value, int | float) and not isinstance(value, bool) for value in rows[0].values()]
    lines = []
    for line in cells:
        parts = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True))
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(path: str) -> str:
    """A file name on one line, whatever bytes it is made of."""
    return (
        path.encode("unicode_escape", "backslashreplace").decode("ascii") if not path.isprintable() else path
    )


if __name__ == "__main__":
    sys.exit(main())
