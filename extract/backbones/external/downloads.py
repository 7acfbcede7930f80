"""Models that come as an archive: fetched once, unpacked without trusting a name in it, kept by hash."""

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from cache.errors import UserError
from cache.storage.files import make_folder, temporary_name, user_folder, write_error
from extract.sources.archives.archive import unpack_whole

SUFFIXES = (".tar.gz", ".tgz", ".tar")
SECONDS = 60  # without a byte, until a download counts as failed
_BLOCK = 2**20


def folder() -> Path:
    """Where downloads and unpacked models are kept."""
    return user_folder() / "models"


def is_address(where: str) -> bool:
    """Tell an http(s) address from a path."""
    return where.startswith(("http://", "https://"))


def kept(url: str) -> bool:
    """Tell whether an archive was downloaded before."""
    return _archive(url).is_file()


def _archive(url: str) -> Path:
    return folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.tar.gz"


def fetch(url: str) -> Path:
    """Download an archive, unless it was before.

    Raises
    ------
    UserError
        If it cannot be had.
    """
    path = _archive(url)
    if kept(url):
        return path
    make_folder(folder())
    made = temporary_name(path)
    try:
        with made.open("xb") as part:
            for chunk in _download(url):
                part.write(chunk)
        made.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        made.unlink(missing_ok=True)
    return path


def _download(url: str) -> Iterator[bytes]:
    """Yield what an address holds; what goes wrong on the way is a UserError, and no OSError of its reader's."""
    try:
        with urllib.request.urlopen(_compressed(url), timeout=SECONDS) as answer:
            expected, received = answer.headers.get("Content-Length"), 0
            while chunk := answer.read(_BLOCK):
                received += len(chunk)
                yield chunk
            if expected is not None and received != int(expected):
                raise urllib.error.URLError(f"{received} of {expected} bytes came")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UserError(
            f"Expected to download {url}, but: {error}. Check the address and the network, or fetch the file "
            "elsewhere and pass its path: --backbone savedmodel:FILE.tar.gz."
        ) from error


def unpack(archive: Path) -> Path:
    """Unpack a tar file into a folder that carries its hash, unless it is there already.

    Raises
    ------
    UserError
        If the file is no archive, is damaged, grows far beyond its size, or holds links, devices or names that lead
        outside (see `extract.sources.archives.archive.unpack_whole`).
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = folder() / digest[:32]
    if target.is_dir():
        return target
    make_folder(folder())
    made = temporary_name(target)
    make_folder(made)
    try:
        unpack_whole(archive, made)
        made.replace(target)
    except OSError as error:
        if not target.is_dir():  # else another process was faster
            raise write_error(target, error) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target


def hash_folder(root: Path) -> str:
    """SHA-256 over names and bytes of all files below a folder, hex; links are followed, each folder is read once."""
    digest = hashlib.sha256()
    for path in sorted(_files(root)):
        with path.open("rb") as file:
            inner = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()}\0{inner}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    seen = set()
    for here, inner, names in os.walk(root, followlinks=True):
        inner.sort()  # of two ways into a folder, the same one is taken everywhere
        if (place := os.path.realpath(here)) in seen:
            inner.clear()
            continue
        seen.add(place)
        yield from (path for name in names if (path := Path(here, name)).is_file())


def _compressed(url: str) -> str:
    """TF-Hub gives a page to people; it has to be asked for the archive."""
    parts = urllib.parse.urlsplit(url)
    if parts.hostname == "tfhub.dev" and not parts.query:
        return urllib.parse.urlunsplit(parts._replace(query="tf-hub-format=compressed"))
    return url
