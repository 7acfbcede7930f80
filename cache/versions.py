"""Which software made something, recorded beside it."""

import platform
from importlib.metadata import PackageNotFoundError, version


def versions(*distributions: str) -> dict[str, str]:
    """Return Python's version and those of installed distributions; one that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in ("coldframe", *distributions):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # coldframe itself, run from a checkout
            continue
    return found
