import pytest

from cache.storage.rejects import Reject, read_rejects, to_frame
from cache.storage.store import Reject as StoreReject


def test_rejects_survive_and_are_known_per_decoder(store):
    assert StoreReject is Reject
    one, two = b"\x01" * 32, b"\x02" * 32
    first = [
        Reject(one, "a\nb.jpg", "cut short", "pillow 1"),
        Reject(two, "caf\udce9/ü.jpg", "too large", "pillow 2"),
        Reject(None, "locked.jpg", "no permission", "pillow 1"),
    ]
    store.add_rejects(first)
    store.add_rejects([Reject(one, "a\nb.jpg", "not a picture", "pillow 1")])
    store.add_rejects([])
    assert store.rejects("pillow 1") == {one: "not a picture"}  # the newest reason
    assert store.rejects("pillow 2") == {two: "too large"}
    assert store.rejects("pillow 3") == {}
    folder = store.folder / "rejects"
    assert len(list(folder.iterdir())) == 2
    assert list(read_rejects(folder))[:3] == first


def test_a_damaged_line_is_skipped_with_a_warning(store):
    store.add_rejects([Reject(b"\x01" * 32, "a", "r", "d"), Reject(b"\x02" * 32, "b", "r", "d")])
    (path,) = (store.folder / "rejects").iterdir()
    path.write_bytes(b"\xff{" + path.read_bytes()[5:])
    with pytest.warns(UserWarning, match="line 1"):
        assert store.rejects("d") == {b"\x02" * 32: "r"}


def test_a_frame_of_rejects():
    found = [Reject(b"\x01" * 32, "caf\udce9.jpg", "cut short", "d"), Reject(None, "b", "no permission", "d")]
    frame = to_frame(found)
    assert list(frame) == ["path", "reason", "decoder", "key"] and (frame.dtypes == "object").all()
    assert frame["path"][0] == "caf\udce9.jpg" and frame["reason"][1] == "no permission"
    assert frame["key"][0] == "01" * 32 and frame["key"].isna().tolist() == [False, True]
    assert list(to_frame([])) == list(frame) and (to_frame([]).dtypes == "object").all()
