"""Archives of pictures, .zip and .tar, unpacked into a folder without trusting what they say of themselves."""

import errno
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from cache.errors import UserError
from cache.storage.files import write_error
from cache.storage.rejects import Reject
from extract.sources.places.tar import Header, headers
from extract.sources.walk import is_ignored

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SUFFIXES = (".zip", *TARS)
# Pictures are compressed already, so an archive hardly grows; one that grows a hundredfold was made to fill the disk.
ALLOWANCE, GROWTH = 2**30, 100
_LEAST = 4096  # bytes that even an empty file takes on a disk
_CHUNK = 2**20
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, struct.error),
    *(NotImplementedError, ValueError),  # zipfile: unknown compression, numbers that make no sense
)
# What is wrong with one name is no reason to refuse all the others.
_UNUSABLE_NAME = {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ}


@dataclass
class Unpacked:
    """What came out of an archive: files + ignored + rejects are its entries, folders aside."""

    files: int = 0
    ignored: int = 0  # names that `scan` ignores in a folder: hidden files and clutter
    rejects: list[Reject] = field(default_factory=list)  # links, devices, names that lead elsewhere


@dataclass(frozen=True)
class _Entry:
    name: str
    refused: str  # why it is not unpacked; empty for a file
    open: Callable[[], IO[bytes] | None]
    copy_of: str = ""  # name of an earlier entry, for a hard link


def is_archive(path: Path) -> bool:
    """Tell by its suffix whether a source is an archive; a folder may have any name."""
    return bool(suffix(path)) and not path.is_dir()


def suffix(path: Path) -> str:
    """The archive's suffix as it is written, `.tar.gz` as one; empty for another file."""
    found = max((s for s in SUFFIXES if path.name.lower().endswith(s)), key=len, default="")
    return path.name[len(path.name) - len(found) :] if found else ""


def unpack(archive: Path, folder: Path) -> Unpacked:
    """Write the files of an archive below a folder.

    Nothing is written elsewhere, whatever names and links the archive holds; links are not made. Times are not taken
    over: archives often set all of them alike, and a file would pass for an older one of the same name and size.

    Parameters
    ----------
    archive : Path
    folder : Path
        Exists and is empty.

    Raises
    ------
    UserError
        If the archive is damaged, encrypted, or grows beyond `ALLOWANCE` + `GROWTH` x its size; if the disk is full.
    """
    writer = _write_all(archive, folder)
    if not writer.unpacked.files:
        raise UserError(f"Expected pictures in {archive}, received {_described(writer.unpacked)}.")
    nested = [path for path in writer.written if is_archive(Path(path))]
    if len(nested) == len(writer.written):
        raise UserError(
            f"Expected pictures in {archive}, received an archive of archives, the first {nested[0]!r}. Unpack it "
            "and extract one of those."
        )
    return writer.unpacked


def unpack_whole(archive: Path, folder: Path) -> None:
    """Write the files of an archive below a folder as `unpack` does, whatever they are.

    Raises
    ------
    UserError
        As `unpack`, and for an entry that is not unpacked: a link, a device, a name that leads elsewhere.
    """
    for reject in _write_all(archive, folder).unpacked.rejects:
        raise UserError(
            f"Expected an archive of plain files that stay in their folder, received {archive} with {reject.path!r} "
            f"({reject.reason}). Nothing of it was used; ask whoever made it."
        )


def _write_all(archive: Path, folder: Path) -> "_Writer":
    try:
        with archive.open("rb") as file:
            writer = _Writer(archive, folder, ALLOWANCE + GROWTH * os.fstat(file.fileno()).st_size)
            entries = _zip if suffix(archive).lower() == ".zip" else _tar
            for entry in entries(archive, file, writer):
                writer.take(entry)
    except _DAMAGED as error:
        raise UserError(
            f"Expected a whole archive in {archive}, received a damaged one, or another kind of file: "
            f"{error or type(error).__name__}. Get it again, or unpack it by other means and pass the folder."
        ) from error
    return writer


def _described(unpacked: Unpacked) -> str:
    if not unpacked.rejects:
        return f"an archive without files ({unpacked.ignored} names ignored)"
    first = unpacked.rejects[0]
    return f"{len(unpacked.rejects)} entries that are not unpacked, the first {first.path!r} ({first.reason})"


class _Writer:
    """Writes entries below a folder, up to a limit of bytes."""

    def __init__(self, archive: Path, folder: Path, limit: int) -> None:
        self.unpacked, self.written, self._folders = Unpacked(), set[str](), set[Path]()
        self._archive, self._folder, self._limit, self._spent = archive, folder, limit, 0

    def take(self, entry: _Entry) -> None:
        """Write one entry, or record why not."""
        parts = _parts(entry.name)
        if parts is None:
            self._reject(entry.name, "its name leads out of the archive")
        elif any(map(is_ignored, parts)):
            self.unpacked.ignored += 1
        elif entry.refused or not parts:
            self._reject(entry.name, entry.refused or "it has no name")
        else:
            self._write("/".join(parts), entry)

    def spend(self, count: int) -> None:
        """Count bytes against the limit."""
        self._spent += count
        if self._spent > self._limit:
            raise UserError(
                f"Expected at most {self._limit:,} bytes in {self._archive}, judging by its size; received more. "
                "Such an archive may be made to fill the disk. If you trust it, unpack it yourself and pass "
                "the folder."
            )

    def _write(self, path: str, entry: _Entry) -> None:
        if entry.copy_of:
            parts = _parts(entry.copy_of)
            if parts is None or "/".join(parts) not in self.written:
                self._reject(path, "a link to a file that is not in the archive before it")
                return
            source: IO[bytes] | None = self._folder.joinpath(*parts).open("rb")
        else:
            source = entry.open()
        assert source is not None  # tarfile has none for folders and devices only
        target = self._folder.joinpath(*path.split("/"))
        with source:
            try:
                if target.parent not in self._folders:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self._folders.add(target.parent)
                out = _created(target)
            except OSError as error:
                if error.errno not in _UNUSABLE_NAME:
                    raise write_error(target, error) from error
                self._reject(path, f"its name cannot be used here: {error.strerror}")
                return
            with out:
                size = 0
                while chunk := source.read(_CHUNK):
                    self.spend(len(chunk))
                    size += len(chunk)
                    try:
                        out.write(chunk)
                    except OSError as error:
                        raise write_error(target, error) from error
        self.spend(max(0, _LEAST - size))
        if path in self.written:
            self._reject(path, "another file of this name comes later")
        else:
            self.unpacked.files += 1
            self.written.add(path)

    def _reject(self, name: str, reason: str) -> None:
        self.unpacked.rejects.append(Reject(None, name, reason, "scan"))


def _created(target: Path) -> IO[bytes]:
    """Begin a file; of two entries with one name the later holds, as in tar."""
    try:
        return target.open("xb")
    except FileExistsError:
        target.unlink()
        return target.open("xb")


def _parts(name: str) -> list[str] | None:
    """Split an entry's name; None if it leads out of the folder that it is joined to."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    foreign = os.name == "nt" and any(letter in name for letter in ":\\")  # a drive, or folders after all
    return None if name.startswith("/") or ".." in parts or "\0" in name or foreign else parts


def _zip(archive: Path, file: IO[bytes], writer: _Writer) -> Iterator[_Entry]:
    with zipfile.ZipFile(file) as content:
        for info in content.infolist():
            if info.is_dir() or info.filename.endswith("\\"):
                continue
            if info.flag_bits & 1:
                raise UserError(
                    f"Expected an archive that can be read in {archive}, received an encrypted one: "
                    f"{info.filename!r} needs a password. Unpack it yourself and extract the folder."
                )
            kind = stat.S_IFMT(info.external_attr >> 16)
            refused = (
                "" if kind in (0, stat.S_IFREG) else "a link" if stat.S_ISLNK(kind) else "not a regular file"
            )
            yield _Entry(_zip_name(info), refused, partial(content.open, info))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """An entry's name; where it is not marked as UTF-8 but is, as macOS writes it, the text that was meant."""
    name = info.filename.replace(
        "\\", "/"
    )  # the format has no backslashes: some programs on Windows wrote them
    if not info.flag_bits & 0x800:
        try:
            return name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return name


def _tar(archive: Path, file: IO[bytes], writer: _Writer) -> Iterator[_Entry]:
    with tarfile.open(fileobj=file, mode="r:*", tarinfo=Header) as content:
        for info, refused in headers(content):
            copy_of = info.linkname if info.islnk() else ""
            yield _Entry(info.name, "" if copy_of else refused, partial(content.extractfile, info), copy_of)
        assert content.fileobj is not None
        while chunk := content.fileobj.read(_CHUNK):  # up to the checksum of what was compressed
            writer.spend(len(chunk))
