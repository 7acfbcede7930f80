"""Code of the user's that runs here, `module:factory`: found, called, and named where it fails."""

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cache.errors import UserError

CLASSIFIER = "a classifier from {} that can be fitted"
AGAIN = "Mend it there and run again."


@contextmanager
def users_code(name: str, wanted: str = CLASSIFIER, then: str = AGAIN) -> Iterator[None]:
    """Turn what the user's own code raises into a UserError that says so; names without a colon are ours.

    Parameters
    ----------
    name : str
    wanted : str
        What is expected of it, with {} for the name.
    then : str
        What to do next.

    Raises
    ------
    UserError
        With the type and text of the exception, and the line it came from.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if ":" not in name:
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split()) or "without a text"
        raise UserError(
            f"Expected {wanted.format(name)}; your own code, or what it calls, raised "
            f"{type(error).__name__}: {said[:500]} ({last.filename}, line {last.lineno}). {then}"
        ) from error


def made_by(name: str, option: str = "--model", wanted: str = CLASSIFIER, offered: Any = None) -> Any:
    """Import ``module:factory``, from the current folder first, and call the factory if it can be called.

    Parameters
    ----------
    name : str
    option : str
        By which it was named.
    wanted : str
        As for `users_code`.
    offered : object, optional
        For a factory that asks for an argument.

    Raises
    ------
    UserError
        When there is no such module or factory, or it raises anything.
    """
    module, _, attribute = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        with users_code(name, wanted):
            factory = _named(f"Expected {option} {name}", module, attribute)
            if not callable(factory):
                return factory
            return factory(offered) if offered is not None and _asks(factory) else factory()
    finally:
        sys.path.remove(os.getcwd())


def _asks(factory: Any) -> bool:
    """Whether it cannot be called without an argument."""
    needed = inspect.signature(factory).parameters.values()
    return any(
        each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        for each in needed
    )


def _named(asked: str, module: str, attribute: str) -> Any:
    """What `module` calls `attribute`; an import that fails within the module is the user's to mend."""
    expected = f"{asked} to name a function in a module of this folder or an installed one"
    try:
        loaded = importlib.import_module(module)
    except ValueError as error:
        raise UserError(f"{expected}: {error}.") from error
    except ModuleNotFoundError as error:
        if error.name and not module.startswith(error.name):
            raise
        raise UserError(f"{expected}: {error}.") from error
    try:
        return getattr(loaded, attribute)
    except AttributeError as error:
        raise UserError(f"{expected}: {error}.") from error
