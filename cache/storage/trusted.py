"""Which files may run code: a ledger in the user's own state folder, which no folder from elsewhere brings along."""

import os
import stat
import warnings
from pathlib import Path

import platformdirs

from cache.errors import UserError
from cache.storage.files import make_folder
from cache.storage.json_file import DamagedJson, read_json, write_json

IMPORTS = "imports"


def folder() -> Path:
    """Where the ledger is: the user's state folder of the system (``COLDFRAME_STATE`` moves it).

    Raises
    ------
    UserError
        When the environment names a place relative to the current folder, which may come from elsewhere.
    """
    root = Path(
        os.environ.get("COLDFRAME_STATE") or platformdirs.user_state_dir("coldframe", appauthor=False)
    )
    if not root.is_absolute():
        raise UserError(f"Expected a full path in COLDFRAME_STATE, received {str(root)!r}.")
    return root / "trusted"


def remember(sha256: str, imports: str = "") -> None:
    """Note that this user made or trusts the file with this SHA-256 (hex); a warning where that cannot be written.

    imports : the folder in which the modules of the user's own were found that the file names
    """
    try:
        make_folder(folder().parent)
        folder().mkdir(mode=0o700, exist_ok=True)
        _check_owner()
        write_json(_entry(sha256), {IMPORTS: imports} if imports else {})
    except (OSError, UserError) as error:
        warnings.warn(
            f"Could not note what you trust: {error} --trust will be asked for again. Set COLDFRAME_STATE to a folder "
            "of yours.",
            stacklevel=2,
        )


def known(sha256: str) -> bool:
    """Tell whether this user made or trusts the file with this SHA-256 (hex).

    Raises
    ------
    UserError
        When others may write to the ledger.
    """
    if not os.path.isfile(_entry(sha256)):
        return False
    _check_owner()
    return True


def admitted(sha256: str, trust: bool, imports: str = "") -> bool:
    """Tell whether a file may be opened: it is known, or the user says so now, which is noted and not asked again."""
    if known(sha256):
        return True
    if trust:
        remember(sha256, imports)
    return trust


def refusal(what: str, path: Path, sha256: str, workspace: Path) -> UserError:
    """Say why a file is not opened; `what` is that it should have been, as in "a head".

    workspace : its folder, which in older versions had the ledger in it
    """
    moved = f" What {workspace} says it wrote counts no more: any folder can bring that along."
    return UserError(
        f"Expected {what} that you made or trusted before, received another in {path} ({sha256[:12]}). Loading it can "
        "run code that is in it: pass --trust if you know where it comes from. You are asked once."
        + (moved if os.path.isdir(workspace / "heads") else "")
    )


def imports_of(sha256: str) -> str:
    """Return the folder that `remember` was given; empty for none."""
    try:
        found = read_json(_entry(sha256)).get(IMPORTS, "")
    except (OSError, DamagedJson):
        return ""
    return found if isinstance(found, str) else ""


def _check_owner() -> None:
    if os.name == "nt":  # a profile's folders are its user's
        return
    found = os.stat(folder())
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UserError(
            f"Expected {folder()} to be yours and writable by you alone, since it says which files may run code. Run "
            f"`chmod 700 {folder()}`, or delete it: --trust is asked for again."
        )


def _entry(sha256: str) -> Path:
    return folder() / f"{bytes.fromhex(sha256).hex()}.json"
