"""Addresses of places that are no folder of this machine: s3://bucket/flowers and the like."""

import os
import re

SCHEMES = ("s3", "gs", "az", "memory")
_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)}):/+(.*)", re.DOTALL)


def address_of(place: str | os.PathLike[str]) -> str:
    """Return the address that a text or a path is, without a slash at its end; empty for a place on this machine.

    A `Path` keeps one of the two slashes; both are there again in what is returned.
    """
    found = _ADDRESS.match(os.fspath(place).replace(os.sep, "/"))
    return f"{found[1]}://{found[2]}".rstrip("/") if found else ""
