import json
import os

import pytest

from cache.storage.json_file import SEAL, DamagedJson, read_json, read_sealed, write_json


def test_what_was_written_comes_back(tmp_path):
    content = {
        "format": 1,
        "text": "ä\n",
        "numbers": [0.1, 1e-9, 3],
        "none": None,
        "deep": {"b": 1, "a": True},
    }
    write_json(tmp_path / "a.json", content)
    assert read_sealed(tmp_path / "a.json") == (content, True)
    assert SEAL not in read_json(tmp_path / "a.json")


def test_a_value_that_json_does_not_know_is_written_as_its_repr(tmp_path):
    write_json(tmp_path / "a.json", {"kernel": int, 3: "key"})
    assert read_json(tmp_path / "a.json") == {"kernel": repr(int), "3": "key"}


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "a.json"
    content = {"part": 1, "text": "abc"}
    write_json(path, content)
    good, silent = path.read_bytes(), []
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        try:
            if read_json(path) != content:  # of spaces and letters' case in escapes nothing depends
                silent.append(bit)
        except DamagedJson:
            continue
    name = good.index(SEAL.encode())
    assert all(
        name <= bit // 8 < name + len(SEAL) for bit in silent
    )  # an unknown key, which its reader refuses


def test_an_older_file_without_a_seal_loads(tmp_path):
    (tmp_path / "a.json").write_text('{"format": 1}')
    assert read_sealed(tmp_path / "a.json") == ({"format": 1}, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[]", "a list"),
        ('"a"', "a text"),
        ("3", "a number"),
        ("true", "true or false"),
        ("null", "null"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (json.dumps({"a": 1, SEAL: "0" * 64}), "SHA-256"),
        (json.dumps({"a": 1, SEAL: [1]}), "SHA-256"),
    ],
)
def test_anything_else_is_damage(tmp_path, text, said):
    (tmp_path / "a.json").write_bytes(text.encode())
    with pytest.raises(DamagedJson, match=said):
        read_json(tmp_path / "a.json")


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "missing"):
        with pytest.raises(OSError):
            read_json(path)
