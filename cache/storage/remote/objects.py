"""A store of objects: listed, read whole or by ranges, and written whole.

obstore asks; it tries again what fails for a while - a busy server, a connection that breaks - and goes on reading an
object where it was cut off.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from cache.storage.remote.failures import explain, no_credentials

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RETRIES: dict[str, Any] = {
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=90),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=15), "base": 2},
}
_TIMES = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "30min"}
_CHUNK = 2**20
_NEARBY = 2**18  # bytes between two ranges that cost less than another request
_HTTP = {
    "gs": "GOOGLE_ALLOW_HTTP",
    "az": "AZURE_ALLOW_HTTP",
}  # of obstore, which client options put out of force
_OWN_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_WEB_IDENTITY_TOKEN_FILE")


class Changed(Exception):
    """An object that became another while it was read."""


@dataclass(frozen=True)
class Object:
    """What a listing says of an object."""

    path: str  # below the address
    size: int
    version: int  # of its content: see `version_of`


class Objects:
    """The objects below an address.

    Parameters
    ----------
    address : str
        As `address_of` gives it: s3://bucket/flowers.

    Raises
    ------
    UserError
        When obstore is not installed, or nothing says who is asking; each method also when the store refuses or does
        not answer.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        scheme, _, place = address.partition("://")
        bucket, _, below = place.partition("/")
        self._store, self._top = _open(f"{scheme}://{bucket}"), f"{below}/" if below else ""

    def list(self, below: str = "") -> Iterator[Object]:
        """Yield the objects below a folder, in no order; what marks a folder is an empty object with its name."""
        import obstore

        with self._telling():
            for part in obstore.list(self._store, prefix=(self._top + below).rstrip("/") or None):
                for found in part:
                    yield Object(found["path"].removeprefix(self._top), found["size"], version_of(found))

    def get(self, path: str, most: int | None = None) -> tuple[Any, Object]:
        """Read an object whole: a buffer of its bytes, and what it is now. Larger than `most`: None for the former.

        Raises
        ------
        FileNotFoundError, PermissionError
        Changed
            When it became another meanwhile.
        """
        with self._asking(path) as (answer, found):
            if most is not None and found.size > most:
                return None, found
            data = answer.bytes()
            if len(data) != found.size:
                raise Changed(path)
            return data, found

    def stream(self, found: Object) -> Iterator[Any]:
        """Read just this object in buffers of about 1 MiB, as far as they are asked for; raises as `get`."""
        with self._asking(found.path) as (answer, now):
            if now != found:
                raise Changed(found.path)
            yield from answer.stream(min_chunk_size=_CHUNK)

    def head(self, path: str) -> Object:
        """Say what an object is; FileNotFoundError and PermissionError as for `get`."""
        import obstore

        with self._telling(one=True):
            meta = obstore.head(self._store, self._top + path)
            return Object(path, meta["size"], version_of(meta))

    def ranges(self, path: str, starts: Sequence[int], ends: Sequence[int]) -> Sequence[Any]:
        """Read some ranges of bytes, several at once; a buffer for each. FileNotFoundError as for `get`."""
        import obstore

        with self._telling(one=True):
            return obstore.get_ranges(
                self._store, self._top + path, starts=starts, ends=ends, coalesce=_NEARBY
            )

    def put(self, path: str, data: bytes | memoryview) -> int:
        """Write an object whole, in the place of an older one; returns its version."""
        import obstore

        with self._telling():
            return version_of(obstore.put(self._store, self._top + path, data))

    def put_new(self, path: str, data: bytes) -> bool:
        """Write an object unless there is one; tells whether it did."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._telling():
            try:
                obstore.put(self._store, self._top + path, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects; they may be gone already."""
        import obstore

        with self._telling(), contextlib.suppress(FileNotFoundError):
            if paths:
                obstore.delete(self._store, [self._top + path for path in paths])

    @contextlib.contextmanager
    def _asking(self, path: str) -> Iterator[tuple[Any, Object]]:
        import obstore
        from obstore.exceptions import BaseError, PreconditionError

        with self._telling(one=True):
            try:
                answer = obstore.get(self._store, self._top + path)
                found = Object(path, answer.meta["size"], version_of(answer.meta))
            except PreconditionError as error:
                raise Changed(path) from error
            try:
                yield answer, found
            except BaseError as error:  # it was cut off, and cannot be taken up where it is another by now
                if self.head(path) != found:
                    raise Changed(path) from error
                raise

    @contextlib.contextmanager
    def _telling(self, one: bool = False) -> Iterator[None]:
        """Turn what the store answers into UserError; with `one`, what concerns one object alone stays as it is."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except FileNotFoundError as error:
            if one and "NoSuchBucket" not in str(error):
                raise FileNotFoundError(errno.ENOENT, "no such object") from error
            raise explain(error, self.address) from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            if one:
                raise PermissionError(errno.EACCES, "access denied") from error
            raise explain(error, self.address) from error
        except (BaseError, OSError, ValueError) as error:
            raise explain(error, self.address) from error


def version_of(meta: Any) -> int:
    """A number for an object's content: of its etag, or of the time of its last change where it has none.

    It lies between 0 and 2**31 seconds in nanoseconds, so that it will do for a file's time of change.
    """
    etag = (meta.get("e_tag") or "").removeprefix("W/").strip('"')
    said = f'"{etag}"' if etag else str(meta.get("last_modified"))  # Azure's listings leave out the quotes
    digest = int.from_bytes(hashlib.sha256(said.encode()).digest()[:16])
    return digest % (2**31 * 10**9)


def endpoint() -> str:
    """Where S3 is asked; empty for Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


@cache
def _open(bucket: str) -> ObjectStore:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import MemoryStore, from_url
    except ImportError as error:
        raise UserError(
            f"Expected obstore for {bucket}, which is not installed. Run `pip install 'coldframe[remote]'`."
        ) from error
    if bucket.startswith("memory:"):
        return MemoryStore()
    options: dict[str, Any] = {"client_options": dict(_TIMES), "retry_config": RETRIES}
    try:
        if bucket.startswith("s3:"):
            if at := endpoint():
                options["endpoint"] = at
                options["client_options"]["allow_http"] = at.startswith("http:")
            if not any(os.environ.get(name) for name in _OWN_CREDENTIALS):
                options["credential_provider"] = _profile(bucket)
        elif os.environ.get(_HTTP[bucket[:2]], "").lower() in ("1", "true"):
            options["client_options"]["allow_http"] = True
        return from_url(bucket, **options)
    except (BaseError, OSError, ValueError) as error:  # an address, or a setting in the environment
        raise explain(error, bucket) from error


def _profile(bucket: str) -> Any:
    """Find credentials as every tool of AWS does: profiles, single sign-on, the role of a machine."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except ImportError:
        return None
    except Exception as error:  # whatever boto3 finds wrong with a profile
        raise no_credentials(bucket) from error
