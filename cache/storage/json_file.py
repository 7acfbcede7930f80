"""JSON files that show when they were damaged: an object with the SHA-256 of its own content."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from cache.storage.files import open_regular, write_file

SEAL = "content_sha256"
LIMIT = 256 * 2**20  # bytes; the largest we write lists a few hundred thousand pictures

Built = TypeVar("Built")


class DamagedJson(ValueError):
    """The file is not a JSON object as we wrote it; the text says what it is instead."""


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented ASCII JSON with its seal; a value that JSON does not know is written as its repr.

    Raises
    ------
    UserError
        When the file cannot be written.
    """
    plain = json.loads(json.dumps(content, default=repr))
    sealed = {**plain, SEAL: _digest(plain)}
    write_file(path, (json.dumps(sealed, indent=1) + "\n").encode("ascii"))


def read_json(path: Path) -> dict[str, Any]:
    """Read an object that `write_json` wrote, or an older one without a seal; the seal is taken off.

    Raises
    ------
    OSError
        When the file is not there, or the system refuses to read it.
    DamagedJson
        When it is not JSON, no object, deeper or larger than anything we write, or has another content than it was
        sealed with.
    """
    return read_sealed(path)[0]


def read_sealed(path: Path) -> tuple[dict[str, Any], bool]:
    """Read an object as `read_json` does, and tell whether it has a seal."""
    with open_regular(path) as file:
        data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise DamagedJson(f"it has more than {LIMIT:,} bytes")
    return parse_sealed(data)


def parse_object(data: bytes | str) -> dict[str, Any]:
    """Parse a JSON object from anywhere; DamagedJson for all that is none, however deep."""
    try:
        content = json.loads(data)
    except RecursionError as error:
        raise DamagedJson("it is nested too deeply") from error
    except ValueError as error:
        raise DamagedJson(f"it is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise DamagedJson(f"it is no object but {_kind(content)}")
    return content


def build(kind: type[Built], fields: Any) -> Built:
    """Make a dataclass of an object's fields; DamagedJson where one is missing, unknown or of another type."""
    if not isinstance(fields, dict):
        raise DamagedJson(f"{_kind(fields)} is in the place of an object")
    try:
        made = kind(**fields)
    except TypeError as error:
        raise DamagedJson(str(error)) from error
    for name, hint in get_type_hints(kind).items():
        if name in fields and not _fits(fields[name], hint):
            raise DamagedJson(f"its {name} is {_kind(fields[name])}")
    return made


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint) or hint
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if isinstance(value, bool):
        return origin in (bool, Any)
    if origin in (tuple, list, Sequence):
        return isinstance(value, list)
    plain = {str: str, int: int, float: (int, float), bool: bool, dict: dict, NoneType: NoneType}
    return origin not in plain or isinstance(value, plain[origin])


def parse_sealed(data: bytes) -> tuple[dict[str, Any], bool]:
    """Parse what `write_json` wrote; returns the object, and whether it has a seal."""
    content = parse_object(data)
    if SEAL not in content:
        return content, False
    seal = content.pop(SEAL)
    if seal != _digest(content):
        raise DamagedJson("its content is not the one it was written with (SHA-256)")
    return content, True


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _kind(content: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(content), "null")
