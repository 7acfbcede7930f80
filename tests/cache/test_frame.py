from cache.frame import COUNT, FLAG, NUMBER, TEXT, TIME, frame

COLUMNS = {"name": TEXT, "n": COUNT, "share": NUMBER, "good": FLAG, "time": TIME}


def test_what_is_missing_and_what_is_no_utf8():
    when = "2026-01-02T03:04:05+00:00"
    rows = [
        {"name": "caf\udce9", "n": 2**40, "share": 0.5, "good": True, "time": when, "more": 1},
        {"name": None, "n": 0, "share": None, "good": False, "time": ""},
    ]
    found = frame(COLUMNS, rows)
    assert found.dtypes.astype(str).to_dict() == COLUMNS
    assert found.isna().to_numpy().tolist() == [[False] * 5, [True, False, True, False, True]]
    assert found["name"][0] == "caf\udce9" and found["n"][0] == 2**40
    assert found["time"][0].isoformat() == when


def test_no_row_leaves_the_dtypes():
    found = frame(COLUMNS, [])
    assert len(found) == 0 and found.dtypes.astype(str).to_dict() == COLUMNS
