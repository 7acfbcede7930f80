"""What a worker's end, or an error in one, means here."""

from __future__ import annotations

from typing import Any

from cache.errors import UserError


def cause_of(error: Any) -> BaseException:
    """What ended the work of a worker, as it would have ended it here."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, UserError):
        return UserError(str(cause))
    return cause if isinstance(cause, Exception) else error


def reason_of(error: Exception) -> str:
    """Why a worker is lost, in a word or two."""
    out_of_memory = "OutOfMemory" in type(error).__name__ or "low on memory" in str(error)
    return "out of memory" if out_of_memory else type(error).__name__
