"""When and with which software something was made, recorded beside it."""

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version


def now() -> str:
    """The present time, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions(*distributions: str) -> dict[str, str]:
    """Return Python's version and those of installed distributions; one that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in ("coldframe", *distributions):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # coldframe itself, run from a checkout
            continue
    return found
