"""A cluster that is not there is told at once."""

import socket

import pytest

from cache.errors import UserError
from extract.embedding.cluster.connection import connected


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_nobody_listens(prefix: str) -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        address = f"{prefix}127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(UserError, match=f"Ray cluster at {address}, but: .*refused.*--ray alone"),
            connected(address),
        ):
            pass


@pytest.mark.parametrize("address", ["flowers/", "10.0.0.1", "10.0.0.1:port"])
def test_no_address(address: str) -> None:
    with pytest.raises(UserError, match="that is no address"), connected(address):
        pass
