"""The command line: words -> a command's options -> its result -> text or JSON. Nothing heavy is imported here."""

import sys

try:
    import contextlib
    import json
    import os
    import shlex
    import textwrap
    import warnings
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack, redirect_stderr
    from importlib import import_module
    from typing import Any, NamedTuple

    from cyclopts import (
        App,
        CycloptsError,
        Group,
        MissingArgumentError,
        Parameter,
        UnknownCommandError,
        UnusedCliTokensError,
        ValidationError,
    )
    from cyclopts.help import DefaultFormatter

    from cache.errors import UserError
    from cache.text import visible
except KeyboardInterrupt:  # Ctrl-C while modules load
    sys.exit(130)

DONE, FAILED, USAGE, REJECTS, INTERRUPTED = 0, 1, 2, 3, 130
SHOWN = 10  # rejects listed on the terminal; all of them are in the files
PROGRAM = "python cli.py"


class Command(NamedTuple):
    """Where a command's options are, where it runs, what it is for, and an example."""

    options: str
    run: str
    help: str
    example: str


E, C, K = "extract.commands", "classify.commands", "cache.commands"
# fmt: off
COMMANDS = {
    "extract": Command(f"{E}.options:ExtractOptions", f"{E}.extract:run",
        "run a network over labelled pictures, keep what it says", "extract flowers/"),
    "compare-backbones": Command(f"{C}.compare_backbones.options:CompareOptions", f"{C}.compare_backbones.command:run",
        "rank backbones on a sample, accuracy against cost", "compare-backbones flowers/"),
    "manifest": Command(f"{E}.options:ManifestOptions", f"{E}.manifest:run",
        "list what a folder holds, without embedding", "manifest flowers/"),
    "show": Command(f"{C}.options:ShowOptions", f"{C}.show:run",
        "draw random pictures with their labels", "show flowers/ --grid 3x3"),
    "fit-head": Command(f"{C}.fit_head.options:FitHeadOptions", f"{C}.fit_head.command:run",
        "train and compare classifiers", "fit-head --model all"),
    "finetune": Command(f"{C}.finetune.options:FinetuneOptions", f"{C}.finetune.command:run",
        "train the top of the network, from the best head, never worse than it", "finetune --top 50"),
    "baseline": Command(f"{C}.baseline.options:BaselineOptions", f"{C}.baseline.command:run",
        "train a small network from scratch, to see what transfer gains", "baseline --epochs 15"),
    "export": Command(f"{C}.export.options:ExportOptions", f"{C}.export.command:run",
        "write a model for another program", "export --to tflite --out flowers.tflite"),
    "predict": Command(f"{C}.predict.options:PredictOptions", f"{C}.predict.command:run",
        "classify pictures with the best run", "predict new_photos/"),
    "evaluate": Command(f"{C}.evaluate.options:EvaluateOptions", f"{C}.evaluate.command:run",
        "measure a run on new labelled pictures", "evaluate new_flowers/"),
    "serve": Command(f"{C}.serve.options:ServeOptions", f"{C}.serve.command:run",
        "a page on this machine that answers for pictures dropped on it", "serve --open"),
    "watch": Command(f"{C}.watch.options:WatchOptions", f"{C}.watch.command:run",
        "classify pictures as they arrive in a folder", "watch incoming/"),
    "report": Command(f"{C}.report.options:ReportOptions", f"{C}.report.command:run",
        "make the page of a run again, or compare two runs", "report --open"),
    "audit": Command(f"{C}.audit.options:AuditOptions", f"{C}.audit.command:run",
        "find wrong labels, odd pictures and contradicting copies", "audit --planted 5%"),
    "map": Command(f"{C}.map.options:MapOptions", f"{C}.map.command:run",
        "lay pictures out in two dimensions, alike beside alike, as one page", "map"),
    "label": Command(f"{C}.label.options:LabelOptions", f"{C}.label.command:run",
        "label pictures on a page, those first that teach most", "label pictures/ --classes daisy,rose"),
    "publish": Command(f"{C}.publish.options:PublishOptions", f"{C}.publish.command:run",
        "put a run where others look for it: a folder for a model hub, or MLflow", "publish --to folder"),
    "demo": Command(f"{C}.options:DemoOptions", f"{C}.demo:run",
        "the whole job on real pictures; needs no internet connection", "demo --quick"),
    "runs ls": Command(f"{C}.runs.options:ListOptions", f"{C}.runs.ls:run",
        "list runs with their figures; which one predict uses", "runs ls"),
    "runs rm": Command(f"{C}.runs.options:RemoveOptions", f"{C}.runs.rm:run",
        "delete runs that nothing needs", "runs rm 3 4"),
    "backbones": Command(f"{E}.options:BackbonesOptions", f"{E}.backbones:run",
        "list the backbones, and what else can be one", "backbones"),
    "cache ls": Command(f"{K}.options:ListOptions", f"{K}.ls:run",
        "list data sets and spaces", "cache ls"),
    "cache verify": Command(f"{K}.options:VerifyOptions", f"{K}.verify:run",
        "check every shard against its hash", "cache verify --recompute 20"),
    "cache gc": Command(f"{K}.options:GcOptions", f"{K}.gc:run",
        "merge small shards, remove leftovers", "cache gc"),
    "cache rm": Command(f"{K}.options:RemoveOptions", f"{K}.rm:run",
        "delete spaces, a data set or cached activations", "cache rm --activations"),
    "cache export": Command(f"{K}.options:ExportOptions", f"{K}.export:run",
        "write one plain HDF5 file", "cache export flowers.h5"),
}
# fmt: on
NEEDS = {  # what trains on a cache takes no folder; to be run before it
    "fit-head": "`{extract}` first, then `fit-head`",
    "finetune": "`{extract}` and `fit-head` first, then `finetune`",
    "baseline": "`{extract}` first, then `baseline`",
}
MEANT = {  # what others call it
    **dict.fromkeys(
        ("train", "fit", "learn"), "`fit-head` (a classifier on the cache) or `finetune` (the network)"
    ),
    **dict.fromkeys(("embed", "embeddings", "features", "index"), "`extract`"),
    **dict.fromkeys(("classify", "infer", "inference"), "`predict`"),
    **dict.fromkeys(("val", "validate", "test", "score"), "`evaluate`"),
    **dict.fromkeys(("convert", "save"), "`export`"),
    **dict.fromkeys(("ls", "list"), "`cache ls` or `runs ls`"),
    **dict.fromkeys(("rm", "remove", "delete"), "`runs rm` or `cache rm`"),
}
GROUPS = {"runs": "look after runs", "cache": "look after the cache"}


def application() -> App:
    """The commands as cyclopts knows them; the module of a command is imported when somebody asks for it."""
    app = App(
        name="coldframe",
        version="coldframe 0.1.0",
        help="Train image classifiers from a folder of pictures: run a pretrained network over them once, then "
        "compare classifiers in seconds, fine-tune, predict and export.",
        help_epilogue=f"Start with: {PROGRAM} demo",
        help_format="plaintext",
        help_formatter=Columns(),
        group_parameters=Group("Options", sort_key=1),
        default_parameter=Parameter(negative=(), allow_repeating=True, show_default=_default),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    groups = {
        name: App(name=name, help=help, help_epilogue="", sort_key=len(COMMANDS))
        for name, help in GROUPS.items()
    }
    app.register_install_completion_command(help="have the shell complete commands, options and values")
    app["--help"].help = "show this help; after a command, its options"
    app["--version"].help = "show the version"
    for number, (words, command) in enumerate(COMMANDS.items()):
        group, _, name = words.rpartition(" ")
        (groups[group] if group else app).command(
            command.options,
            name=name,
            help=command.help,
            help_epilogue=f"example: {PROGRAM} {command.example}",
            sort_key=number,
        )
    for each in groups.values():
        app.command(each)
    return app


def start() -> int:
    """Be the program: run the command that was typed, whatever the standard streams are."""
    try:
        _open_streams()
        return main()
    except KeyboardInterrupt:  # before the command began, or while it was told that it ended
        return INTERRUPTED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if arguments is None:  # whatever Python is started from here takes no module from the current folder
        os.environ["PYTHONSAFEPATH"] = "1"
    warnings.showwarning = lambda message, *_: say(f"warning: {message}")
    try:
        with _output():
            options = application()(words)
        if options is None:  # the help, the version or the completion has been told
            return USAGE if words in ([], *([name] for name in GROUPS)) else DONE
        return tell(options, run(options))
    except CycloptsError as error:
        say(f"error: {mistake(error)} See `{' '.join([PROGRAM, *(error.command_chain or ()), '--help'])}`.")
        return USAGE
    except UserError as error:
        say(f"error: {error}")
        return FAILED
    except KeyboardInterrupt as stop:
        say(str(stop) or "Interrupted. What was sealed or finished is kept: run the same command to go on.")
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as end:  # the reader of our output has seen enough, as with `| head`
        if not isinstance(end.__context__ or end, BrokenPipeError):  # rich makes a SystemExit of it
            raise
        sys.stdout = None
        return DONE


def run(options: Any) -> Any:
    """Hand options to their command. What spans two packages is joined here, and nowhere else."""
    kind = f"{type(options).__module__}:{type(options).__name__}"
    command = next(each for each in COMMANDS.values() if each.options == kind)
    beside = {}
    if command is COMMANDS["extract"] and options.backbone.backbone == "auto":
        beside["elect"] = _imported(f"{C}.compare_backbones.command:elected")
    if command is COMMANDS["cache verify"] and options.recompute:
        beside["recompute"] = _imported(f"{E}.recompute:recompute")
    if command is COMMANDS["demo"]:
        beside["command"] = lambda *words: main(words)
    with ExitStack() as stack:
        if getattr(options, "quiet", False):  # standard error holds what is said meanwhile, and no result
            stack.enter_context(redirect_stderr(stack.enter_context(open(os.devnull, "w"))))
        return _loaded(command.run)(options, say, **beside)


def tell(options: Any, result: Any) -> int:
    """Print a result - notes and rejects for people, one JSON value or text for programs - and return the exit code."""
    if result is None:
        return DONE
    strict = getattr(options, "strict", None)  # what has --strict lists what it rejected
    rejects = () if strict is None else result.rejects
    for reject in rejects[:SHOWN]:
        say(f"rejected {reject}")
    if len(rejects) > SHOWN:
        say(f"... and {len(rejects) - SHOWN:,} more rejects: --json lists them all")
    quiet = getattr(options, "quiet", False)
    for note in () if quiet else getattr(result, "notes", ()):
        say(note)
    put(json.dumps(result.to_json()) if options.json else result.to_text())
    for line in () if quiet else getattr(result, "closing", ()):
        say(line)
    if getattr(result, "interrupted", False):
        return INTERRUPTED
    failure = getattr(result, "failure", None)
    if failure:
        raise UserError(failure)
    if failure is not None:  # the text has said what is wrong
        return FAILED
    return REJECTS if strict and rejects else DONE


def put(text: str) -> None:
    """Print a result. What a terminal would obey is made visible there; a file or a pipe gets the text as it is."""
    with _output():
        print(visible(text) if sys.stdout.isatty() else text, flush=True)


def say(text: str) -> None:
    """Tell people something; standard output is for results."""
    print(visible(text), file=sys.stderr, flush=True)


@contextlib.contextmanager
def _output() -> Iterator[None]:
    """Tell in plain words when standard output takes nothing; a reader who has seen enough is another thing."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = None  # what is left of it must not be tried again at the end
        raise UserError(
            f"Could not write to standard output: {error.strerror}. What the command has done is kept."
        ) from error


def _open_streams() -> None:
    """Take the place of streams that were closed, lest a file of ours gets their number and what is printed."""
    for name, flags, mode in (
        ("stdin", os.O_RDONLY, "r"),
        ("stdout", os.O_RDONLY, "w"),  # writing fails, as it does on what is closed
        ("stderr", os.O_WRONLY, "w"),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))
    sys.stderr = _Patient(sys.stderr)


class _Patient:
    """Standard error that may be full: what it does not take is lost, and the work goes on."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Any, *arguments: str) -> None:
        try:
            action(*arguments)
        except BrokenPipeError:
            raise
        except OSError:
            self._stream = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


class Columns(DefaultFormatter):
    """Help in two columns without boxes, the same on a terminal, in a pipe and in a file."""

    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        from rich.text import Text

        if panel.entries:
            console.print(f"\n{panel.title}", style="bold")
        for entry in panel.entries:
            names = ", ".join(entry.all_options)
            name = entry.positional_label or (f"{names} {entry.metavar}" if entry.metavar else names)
            values = ", ".join(entry.choices or ())
            default = "" if entry.default is None else f"default: {entry.default}"
            brackets = "; ".join(filter(None, (values, default)))
            about = _plain(entry.description) + (f" [{brackets}]" if brackets else "")
            first, *rest = textwrap.wrap(about, max(20, console.width - 27), break_on_hyphens=False) or [""]
            console.print(Text.assemble((f"  {name:24}", "cyan"), " ", first), soft_wrap=True)
            for line in rest:
                console.print(" " * 27 + line, soft_wrap=True, highlight=False, markup=False)

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        console.print(_plain(description), highlight=False, markup=False)


def _plain(text: Any) -> str:
    return " ".join(str(getattr(text, "primary_renderable", text) or "").split())


def _default(value: Any) -> str | None:
    """A default as a person would type it; of switches, nothing."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def mistake(error: CycloptsError) -> str:
    """What cyclopts says, in the words of the help."""
    words = [*(error.unused_tokens or ())]
    if isinstance(error, UnknownCommandError) and not error.command_chain:
        meant = MEANT.get(words[0])
        if not meant and os.path.exists(words[0]):
            meant = f"`extract {shlex.quote(words[0])}`"
        if meant:
            return f"Expected a command, received {words[0]}. Did you mean {meant}?"
    if isinstance(error, UnusedCliTokensError):
        needs = NEEDS.get(" ".join(error.command_chain or ()), "")
        if needs:
            source = shlex.quote(words[0]) if os.path.exists(words[0]) else "FOLDER"
            needs = f" It trains on what extract kept: run {needs.format(extract=f'extract {source}')}."
        return f"Expected no more than that, received {' '.join(words)} too.{needs}"
    if isinstance(error, MissingArgumentError) and error.argument and error.argument.index is not None:
        return f"Expected {error.argument.name.lstrip('-').upper()}, received none."
    return error.exception_message if isinstance(error, ValidationError) and error.group else str(error)


def _loaded(path: str) -> Any:
    """Import a command, whose libraries may take seconds to start: a person at a terminal is told."""
    if sys.stderr.isatty():
        print("loading ...", end="\r", file=sys.stderr, flush=True)
    try:
        return _imported(path)
    finally:
        if sys.stderr.isatty():
            print(" " * len("loading ..."), end="\r", file=sys.stderr, flush=True)


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


if __name__ == "__main__":
    sys.exit(start())
