"""Bytes that threads share, and what a picture is counted as."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from extract.pictures.memory import Room, cost
from tests.extract.sample_pictures import encode, scene


def test_who_wants_more_than_is_free_waits_until_it_is_given_back() -> None:
    room, inside, order = Room(100), threading.Event(), []

    def wants(number: int) -> None:
        inside.set()
        with room.hold(number):
            order.append(number)

    with ThreadPoolExecutor(1) as pool:
        with room.hold(60):
            with room.hold(40):
                waiting = pool.submit(wants, 50)
                assert inside.wait(10)
                order.append(0)
            order.append(1)
        waiting.result(10)
    assert order == [0, 1, 50]
    assert room.taken == 0


def test_what_is_larger_than_the_room_gets_all_of_it() -> None:
    room = Room(100)
    with room.hold(10**9):
        assert room.taken == 100
    with pytest.raises(KeyError), room.hold(1):
        raise KeyError
    assert room.taken == 0


@pytest.mark.parametrize(
    ("kind", "mode", "options", "each"),
    [
        ("PNG", "RGB", {}, 4),
        ("PNG", "L", {}, 1),
        ("PNG", "RGBA", {}, 12),
        ("JPEG", "RGB", {}, 4),
        ("JPEG", "RGB", {"progressive": True}, 10),
        ("WEBP", "RGB", {}, 16),
    ],
)
def test_a_picture_is_counted_by_its_header(kind: str, mode: str, options: dict, each: int) -> None:
    image = Image.open(io.BytesIO(encode(scene(60, 40).convert(mode), kind, **options)))
    assert cost(image, image.size) == 60 * 40 * each
