"""coldframe from Python: every command as a function, and a predictor for new pictures.

>>> import coldframe
>>> coldframe.extract("flowers/")  # doctest: +SKIP
>>> coldframe.fit_head(model="all").to_frame()  # doctest: +SKIP
>>> coldframe.load().predict(["rose.jpg"])  # doctest: +SKIP

The keywords are the options of the command line, with underscores. `help(coldframe.fit_head)` lists them.
"""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import os
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cyclopts import Argument, CycloptsError

import cli
from cache.errors import UserError

if TYPE_CHECKING:
    from classify.models.predictor import Predictor
    from extract import ImageEmbedder, add_arrays

_LEFT_OUT = ("--json", "--strict")  # what a command prints, and its exit code
_WORDS = {re.sub("[ -]", "_", words): words for words in cli.COMMANDS if words != "demo"}
_ELSEWHERE = {
    "ImageEmbedder": "extract",
    "add_arrays": "extract",
    "Predictor": "classify.models.predictor",
}
_OBJECTS = {"finetune": ("callbacks",)}  # keywords for what no word of a command line can say
_BUILTIN = {word for word in _WORDS if hasattr(builtins, word)}  # `import *` hides no `map`
__all__ = ["ImageEmbedder", "Predictor", "UserError", "add_arrays", "load", *({*_WORDS} - _BUILTIN)]


def load(
    run: str | os.PathLike[str] | None = None,
    *,
    workspace: str | os.PathLike[str] | None = None,
    trust: bool = False,
    engine: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> Predictor:
    """Load a run that answers for paths, Pillow images and arrays, with scikit-learn's `predict` and `predict_proba`.

    Parameters
    ----------
    run : str or path, optional
        A run of fit-head, finetune or baseline, by its folder or the folder's name; or a .keras file that
        `export` wrote. Default: the best run on the data set used last.
    workspace : str or path, optional
        Default: COLDFRAME_WORKSPACE, else `.coldframe` in the current folder.
    trust : bool
        Load a head or model that this user did not make: its code runs.
    engine : {"auto", "litert", "keras"}
        What runs the network.
    batch_size, workers : int, optional
        Pictures a step and threads; default: the engine's own, and one a core.
    quiet : bool
        Show no progress.

    Raises
    ------
    UserError
        If there is no such run, or it cannot be trusted.
    """
    from cache.workspace import Workspace
    from classify.models.classifier import open_classifier
    from classify.models.predictor import Predictor
    from extract.embedding.progress import Progress, bar
    from extract.settings import Options

    place, progress = Workspace.locate(workspace), Progress() if quiet else bar(cli.say)
    options = Options(engine=engine, batch_size=batch_size, workers=workers)
    named = None if run is None else os.fspath(run)
    classifier = open_classifier(place, named, options=options, trust=trust, progress=progress)
    return Predictor(place, classifier, named is not None, progress)


def __getattr__(name: str) -> Any:
    if name in _WORDS:
        found: Any = _function(name)
    elif name in _ELSEWHERE:
        found = getattr(import_module(_ELSEWHERE[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, found)


def __dir__() -> list[str]:
    return [*__all__, *_BUILTIN]


def _function(name: str) -> Callable[..., Any]:
    """Make the function of a command from its options."""
    words, arguments = _WORDS[name].split(), _arguments(name)
    parameters = [_parameter(keyword, argument) for keyword, argument in arguments.items()]
    objects = _OBJECTS.get(name, ())
    parameters += [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=()) for each in objects]
    signature = inspect.Signature(sorted(parameters, key=lambda each: each.kind))

    def function(*positional: Any, **keywords: Any) -> Any:
        if unknown := [keyword for keyword in keywords if keyword not in signature.parameters]:
            near = get_close_matches(unknown[0], signature.parameters, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise TypeError(
                f"Expected keywords of coldframe.{name}, received {', '.join(unknown)}.{hint} "
                f"Known: {', '.join(signature.parameters)}."
            )
        given = signature.bind(*positional, **keywords).arguments
        beside = {each: given.pop(each) for each in objects if each in given}
        return _run([*words, *_as_words(given, arguments)], beside)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = _docstring(_WORDS[name], arguments, objects)
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def _arguments(name: str) -> dict[str, Argument]:
    """The options of a command by keyword, as cyclopts knows them."""
    words = _WORDS[name].split()
    app = found = cli.application()
    for word in words:
        found = found[word]
    with app.app_stack(words):
        arguments = found.assemble_argument_collection(parse_docstring=True).filter_by(parse=True)
    kept = [each for each in arguments if each.name.startswith("--") and each.name not in _LEFT_OUT]
    return {each.name.removeprefix("--").replace("-", "_"): each for each in kept}


def _parameter(keyword: str, argument: Argument) -> inspect.Parameter:
    default = inspect.Parameter.empty if argument.required else argument.field_info.default
    kind = (
        inspect.Parameter.KEYWORD_ONLY if argument.index is None else inspect.Parameter.POSITIONAL_OR_KEYWORD
    )
    return inspect.Parameter(keyword, kind, default=default, annotation=argument.hint)


def _docstring(words: str, arguments: dict[str, Argument], objects: Iterable[str]) -> str:
    about = cli.COMMANDS[words].help
    lines = [f"{about[0].upper()}{about[1:]}: as the command `{words}`.", "", "Parameters", "----------"]
    for keyword, argument in arguments.items():
        choices = ", ".join(argument.get_choices(force=True) or ())
        lines += [keyword, f"    {' '.join(str(argument.parameter.help or '').split())}"]
        lines[-1] += f" [{choices}]" if choices else ""
    for keyword in objects:
        lines += [keyword, f"    as {keyword.removesuffix('s')}, and objects as well as names"]
    lines += [
        "",
        "Returns",
        "-------",
        "result",
        "    With `to_json()`, `to_text()` and, of tables, `to_frame()`.",
    ]
    lines += [
        "",
        "Raises",
        "------",
        "UserError",
        "    For whatever the command line refuses, with what to do.",
    ]
    return "\n".join(line.rstrip() for line in lines)


def _as_words(given: dict[str, Any], arguments: dict[str, Argument]) -> list[str]:
    """What was given as words of a command line, which are checked and converted as such."""
    options, positional = list[str](), list[str]()
    for keyword, value in given.items():
        argument = arguments[keyword]
        if argument.index is not None and value is not None:
            paths = isinstance(value, str | os.PathLike) or not isinstance(value, Iterable)
            positional += [_text(keyword, each) for each in ([value] if paths else value)]
        elif "bool" in str(argument.hint) and isinstance(value, bool):
            options += [argument.name] if value else []
        elif value is not None:
            options.append(f"{argument.name}={_text(keyword, value, _joint(argument))}")
    return [*options, *(["--", *positional] if positional else [])]


def _joint(argument: Argument) -> str:
    """What stands between the parts of a value: of `2048,1024` a comma, of `80/10/10` a stroke."""
    return re.sub("[A-Z]", "", argument.parameter.metavar or "")[:1] or ","


def _text(keyword: str, value: Any, joint: str = ",") -> str:
    if isinstance(value, str | os.PathLike):
        return os.fsdecode(value)
    if hasattr(value, "__index__") or hasattr(value, "__float__"):
        return str(value)
    if isinstance(value, list | tuple):
        return joint.join(_text(keyword, each) for each in value)
    raise UserError(f"Expected text or a number for {keyword}, received a {type(value).__name__}.")


def _run(words: list[str], objects: dict[str, Any]) -> Any:
    """Run a command as the command line does; people are told on standard error what they are told there."""
    try:
        options = cli.application()(words)
        options = dataclasses.replace(options, **objects) if objects else options
    except CycloptsError as error:
        keywords = re.sub(r"--([a-z][\w-]*)", lambda found: found[1].replace("-", "_"), cli.mistake(error))
        raise UserError(keywords) from None
    result = cli.run(options)
    if not getattr(options, "quiet", False):
        rejected = [f"rejected {reject}" for reject in getattr(result, "rejects", ())[: cli.SHOWN]]
        for line in [*rejected, *getattr(result, "notes", ()), *getattr(result, "closing", ())]:
            cli.say(line)
    if failure := getattr(result, "failure", None):
        raise UserError(failure)
    if not hasattr(type(result), "_repr_pretty_"):  # what IPython shows of the last line of a cell
        type(result)._repr_pretty_ = lambda self, printer, cycle: printer.text(self.to_text())
    return result
