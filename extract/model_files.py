"""Models that come as an archive: fetched once, unpacked without trusting a name in it, kept by hash."""

import hashlib
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from cache.errors import UserError
from cache.files import make_folder, write_error, write_file
from extract.user_folder import user_folder

SUFFIXES = (".tar.gz", ".tgz", ".tar")
SECONDS = 60  # without a byte, until a download counts as failed
_BLOCK = 2**20


def folder() -> Path:
    """Where downloads and unpacked models are kept."""
    return user_folder() / "models"


def fetch(url: str) -> Path:
    """Download an archive, unless it was before.

    Raises
    ------
    UserError
        If it cannot be had.
    """
    path = folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.tar.gz"
    if path.is_file():
        return path
    make_folder(folder())
    try:
        with (
            urllib.request.urlopen(_compressed(url), timeout=SECONDS) as answer,
            tempfile.NamedTemporaryFile(dir=folder(), prefix=".tmp-", delete=False) as part,
        ):
            made = Path(part.name)
            try:
                shutil.copyfileobj(answer, part, _BLOCK)
                part.close()
                expected = answer.headers.get("Content-Length")
                if expected is not None and made.stat().st_size != int(expected):
                    raise urllib.error.URLError(f"{made.stat().st_size} of {expected} bytes came")
                made.replace(path)
            finally:
                made.unlink(missing_ok=True)
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
        raise UserError(
            f"Expected to download {url}, but: {error}. Check the address and the network, or fetch the file "
            "elsewhere and pass its path: --backbone savedmodel:FILE.tar.gz."
        ) from error
    except OSError as error:
        raise write_error(path, error) from error
    return path


def unpack(archive: Path) -> Path:
    """Unpack a tar file into a folder that carries its hash, unless it is there already.

    Links, devices, absolute names and names that lead outside are refused (`tarfile`'s filter "data").

    Raises
    ------
    UserError
        If the file is no archive, holds such a name, or is larger than what the disk has free.
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = folder() / digest[:32]
    if target.is_dir():
        return target
    make_folder(folder())
    made = Path(tempfile.mkdtemp(dir=folder(), prefix=".tmp-"))
    try:
        with tarfile.open(archive, "r:*") as tar:
            members = tar.getmembers()
            size, free = sum(member.size for member in members), shutil.disk_usage(folder()).free
            if size > free:
                raise UserError(
                    f"Expected room for the {size:,} bytes in {archive}, the disk has {free:,}. Free some space, or "
                    "move the cache with COLDFRAME_CACHE."
                )
            tar.extractall(made, members, filter="data")
        made.replace(target)
    except tarfile.FilterError as error:
        raise UserError(
            f"Expected an archive whose files stay in their folder, received {archive}: {error}. Nothing of it was "
            "used; ask whoever made it."
        ) from error
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UserError(
            f"Expected a .tar.gz file with a SavedModel, received {archive}: {error}. If it was downloaded, delete "
            "it and fetch it again."
        ) from error
    except OSError as error:
        if target.is_dir():  # another process was faster
            return target
        if error.errno is None:  # gzip's own
            raise UserError(f"Expected a .tar.gz file, received {archive}: {error}.") from error
        raise write_error(target, error) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target


def hash_folder(root: Path) -> str:
    """SHA-256 over names and bytes of all files below a folder, hex."""
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            inner = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()}\0{inner}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def keep_record(name: str, data: bytes) -> None:
    """Keep a small file beside the archives."""
    make_folder(folder())
    write_file(folder() / name, data)


def _compressed(url: str) -> str:
    """TF-Hub gives a page to people; it has to be asked for the archive."""
    parts = urllib.parse.urlsplit(url)
    if parts.hostname == "tfhub.dev" and not parts.query:
        return urllib.parse.urlunsplit(parts._replace(query="tf-hub-format=compressed"))
    return url
