"""What stores refuse, said with what to do next, and a store whose package is not there."""

import builtins
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cache.errors import UserError
from cache.storage.remote import objects
from cache.storage.remote.failures import explain
from cache.storage.remote.objects import Objects, version_of


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting says who is asking, and what waits for an answer waits for a moment."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nowhere")
    quick = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2}
    monkeypatch.setattr(
        objects, "RETRIES", {"max_retries": 0, "retry_timeout": timedelta(seconds=1), "backoff": quick}
    )
    times = {"connect_timeout": "300ms", "read_timeout": "300ms", "timeout": "1s"}
    monkeypatch.setattr(objects, "_TIMES", times)
    objects._open.cache_clear()
    yield
    objects._open.cache_clear()


@pytest.mark.parametrize(
    ("address", "name", "public"),
    [
        ("gs://bucket/flowers", "GOOGLE_SERVICE_ACCOUNT, a file, or `gcloud", "GOOGLE_SKIP_SIGNATURE=true"),
        ("az://bucket/flowers", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_SKIP_SIGNATURE=true"),
    ],
)
def test_no_credentials(nobody: None, address: str, name: str, public: str) -> None:
    with pytest.raises(
        UserError, match=rf"Expected credentials for {address[:11]}.*found none\. Set {name}.*{public}"
    ):
        list(Objects(address).list())


def test_no_key_for_an_account(nobody: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "mine")
    with pytest.raises(UserError, match=r"Expected credentials for az://bucket.*AZURE_STORAGE_ACCOUNT_KEY"):
        list(Objects("az://bucket/flowers").list())


@pytest.mark.parametrize("address", ["s3://bucket/a", "gs://bucket/a", "az://bucket/a"])
def test_without_the_package(nobody: None, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    found = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("obstore"):
            raise ImportError(f"No module named {name!r}")
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"Expected obstore for .*pip install 'coldframe\[remote\]'"):
        Objects(address)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("<Code>NoSuchBucket</Code>", "Expected a bucket at gs://bucket, found none"),
        ("<Code>ContainerNotFound</Code>", "Expected a bucket at gs://bucket, found none"),
        ("<Code>ExpiredToken</Code>", "Get new ones"),
        ("<Code>AuthorizationHeaderMalformed</Code>", "Set AWS_REGION"),
        ("status code: 403 Forbidden", r"denies to these credentials \(403 Forbidden\)"),
        ("status code: 503 Busy, after 10 retries", "to answer, but: 503 Busy after 10 retries"),
    ],
)
def test_what_a_store_says_is_said_with_what_to_do(said: str, meant: str) -> None:
    with pytest.raises(UserError, match=meant):
        raise explain(OSError(said), "gs://bucket/flowers")


def test_an_etag_is_the_same_with_and_without_quotes() -> None:
    assert (
        version_of({"e_tag": "0x8DE"}) == version_of({"e_tag": '"0x8DE"'}) != version_of({"e_tag": '"0x8DF"'})
    )
    assert version_of({"e_tag": None, "last_modified": 7}) != version_of({"e_tag": None, "last_modified": 8})
