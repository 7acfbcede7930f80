"""Code of the user's that runs here, `module:factory`: found, called, and named where it fails."""

import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cache.errors import UserError


@contextmanager
def users_code(name: str) -> Iterator[None]:
    """Turn what the user's own code raises into a UserError that says so; names without a colon are ours.

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
            f"Expected a classifier from {name} that can be fitted; your own code, or what it calls, raised "
            f"{type(error).__name__}: {said[:500]} ({last.filename}, line {last.lineno}). Mend it there and run again."
        ) from error


def made_by(name: str) -> Any:
    """Import ``module:factory``, from the current folder first, and call the factory if it can be called.

    Raises
    ------
    UserError
        When there is no such module or factory, or it raises anything.
    """
    module, _, attribute = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        with users_code(name):
            factory = _named(name, module, attribute)
            return factory() if callable(factory) else factory
    finally:
        sys.path.remove(os.getcwd())


def _named(name: str, module: str, attribute: str) -> Any:
    """What `module` calls `attribute`; an import that fails within the module is the user's to mend."""
    expected = f"Expected --model {name} to name a function in a module of this folder or an installed one"
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
