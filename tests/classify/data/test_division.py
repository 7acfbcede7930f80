import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.class_weight import compute_class_weight

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from cache.storage.rejects import Reject
from cache.workspace import Workspace
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.commands.fit_head.result import FitResult
from classify.data.division import Division, divide
from classify.data.split_record import Assignments
from classify.data.splits import TEST, TRAIN, VAL, split
from classify.heads import table
from classify.heads.table import Head
from extract.embedding import thumbnails
from extract.embedding.progress import Progress
from extract.settings import Decoding
from tests.classify.data.neighbours.test_near_duplicates import encode, look
from tests.classify.samples import SPACE, make_manifest

Data = tuple[np.ndarray, np.ndarray]
Build = Callable[[Manifest, np.ndarray], Workspace]


def division(workspace: Workspace, **options: str) -> Division:
    return divide(workspace, workspace.load("digits"), test_size=0.25, seed=0, **options)  # type: ignore[arg-type]


@pytest.fixture
def with_column(digits: Data, build: Build) -> Callable[[str, list[str]], Workspace]:
    """The first 120 digits, of the classes 0, 1 and 2 and others, with a column more."""

    def make(name: str, values: list[str]) -> Workspace:
        y = np.minimum(digits[1][:120].astype(int), 3)
        manifest = make_manifest(y, tuple("0123"))
        manifest.columns[name] = values
        return build(manifest, digits[0][:120])

    return make


def test_the_parts_are_those_of_the_split(workspace: Workspace, digits: Data) -> None:
    found = division(workspace)
    train, test = found.split.part == TRAIN, found.split.part == TEST
    assert train.sum() + test.sum() == 300 and 70 <= test.sum() <= 80
    assert (digits[0][:300][train] == found.X).all() and (found.y == digits[1][:300][train]).all()
    assert (found.X_test == digits[0][:300][test]).all() and (found.truth == digits[1][:300][test]).all()
    assert (found.names == digits[1][:300]).all()
    assert found.weight is None and found.group is None and found.ungrouped is None
    assert [note.partition(" were ")[0] for note in found.notes] == ["300 pictures"]


def test_shares_keep_a_validation_part_out_of_it_all(workspace: Workspace, digits: Data) -> None:
    found = division(workspace, shares="60/20/20")
    counts = np.bincount(found.split.part, minlength=4)
    assert 170 < counts[TRAIN] < 190 and len(found.X) == counts[TRAIN] and len(found.X_test) == counts[TEST]
    assert 50 < counts[TEST] < 70 and counts.sum() == 300 and counts[0] == 0
    again = division(workspace, shares="6/2/2")
    assert again.sha256 == found.sha256 != division(workspace).sha256
    assert (division(workspace, shares="75/25").split.part == division(workspace).split.part).all()
    result = fit_heads(workspace, FitOptions(["centroid"], split="60/20/20", curve=True))
    record = json.loads((result.run / "run.json").read_text())
    assert record["parameters"]["split"] == "60/20/20" and record["data_sha256"] == found.sha256
    assert record["split"] == {"train": counts[TRAIN], "val": counts[2], "test": counts[TEST]}


def test_the_test_part_is_one_with_and_without_a_validation_part(
    workspace: Workspace, digits: Data, build: Build
) -> None:
    """Also where pictures were added between, and whichever split came first."""

    def parts(shares: str) -> np.ndarray:
        data = workspace.load("digits")
        return divide(workspace, data, test_size=0.2, seed=0, shares=shares).split.part

    def both(first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
        one, two = parts(first), parts(second)
        assert ((one == TEST) == (two == TEST)).all()
        return one, two

    def grow(count: int) -> None:
        """Start from a few pictures and make the classes uneven, so that what is chosen depends on the record."""
        manifest = make_manifest(digits[1][:600].astype(int), tuple("0123456789"))
        known = workspace.load("digits").manifest
        build(manifest, digits[0][:600])
        workspace.save_manifest("digits", manifest.select(np.arange(count)))
        assert count > len(known)

    before, _ = both("80/20", "60/20/20")
    grow(420)
    parts("80/20")
    grow(600)
    plain, whole = both("60/20/20", "80/20")[::-1]
    assert (plain[:300] == before).all() and 100 < (whole == VAL).sum() < 140


def test_a_record_with_a_validation_part_of_an_earlier_version_stays_as_it_is(workspace: Workspace) -> None:
    kept = Assignments.path(workspace.root, "digits", 0, 0.2, "", 0.2)
    split(workspace.manifest("digits"), test_size=0.2, val_size=0.2, seed=5).assigned.save(kept)  # type: ignore[union-attr]
    manifest = workspace.manifest("digits")
    before = Assignments.load(kept)
    found = divide(workspace, workspace.load("digits"), test_size=0.2, seed=0, shares="60/20/20").split
    assert before is not None and found.assigned is not None
    assert len(manifest) == len(before.key) and (found.assigned.part == before.part).all()


@pytest.mark.parametrize(
    ("parts", "own"), [(("train", "val"), "a val part"), (("train", "val", "test"), "val and a test")]
)
def test_shares_do_not_divide_a_data_set_with_parts_of_its_own(
    digits: Data, build: Build, parts: tuple[str, ...], own: str
) -> None:
    manifest = make_manifest(np.minimum(digits[1][:120].astype(int), 3), tuple("0123"))
    manifest.split[:] = [SPLITS.index(parts[i % len(parts)]) for i in range(120)]
    workspace = build(manifest, digits[0][:120])
    with pytest.raises(
        UserError, match=rf"without parts of its own for --split 80/20, received 'digits' with .*{own}"
    ):
        division(workspace, shares="80/20")
    manifest.split[:] = SPLITS.index("train")  # divides nothing
    workspace.save_manifest("digits", manifest)
    assert division(workspace, shares="80/20").X_test.size


def test_weights_come_from_the_table(with_column: Callable[..., Workspace]) -> None:
    values = np.arange(1, 121) / 8
    found = division(with_column("weight", [f" {value}" for value in values]))
    assert found.weight is not None
    assert found.weight.tolist() == values[found.split.part == TRAIN].tolist()


@pytest.mark.parametrize("bad", ["heavy", "", "0", "-1", "nan", "inf"])
def test_weights_that_are_no_numbers_above_0_are_refused(
    with_column: Callable[..., Workspace], bad: str
) -> None:
    rows = [bad] * 120  # the test part's weights are never looked at as numbers
    with pytest.raises(UserError, match=r"column weight.*Mend the table"):
        division(with_column("weight", rows))


def test_balanced_weights_are_scikit_learns(
    workspace: Workspace, with_column: Callable[..., Workspace]
) -> None:
    found = division(with_column("note", ["x"] * 120), class_weight="balanced")
    classes, codes = np.unique(found.y, return_inverse=True)
    assert found.weight is not None and np.bincount(codes).max() > 3 * np.bincount(codes).min()
    np.testing.assert_allclose(np.bincount(codes, found.weight), len(codes) / len(classes))
    expected = compute_class_weight("balanced", classes=classes, y=found.y)
    np.testing.assert_allclose(found.weight, expected[codes])
    model = LogisticRegression(tol=1e-8, max_iter=5000)
    ours = model.fit(found.X, found.y, sample_weight=found.weight).coef_
    theirs = LogisticRegression(tol=1e-8, max_iter=5000, class_weight="balanced").fit(found.X, found.y).coef_
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.abs(ours - model.fit(found.X, found.y).coef_).max() > 0.01


def test_balance_keeps_the_tables_weights_within_a_class(with_column: Callable[..., Workspace]) -> None:
    values = np.random.default_rng(0).uniform(0.1, 5, 120)
    found = division(with_column("weight", [repr(float(v)) for v in values]), class_weight="balanced")
    assert found.weight is not None
    own, codes = values[found.split.part == TRAIN], np.unique(found.y, return_inverse=True)[1]
    np.testing.assert_allclose(np.bincount(codes, found.weight), own.sum() / 4)
    for code in range(4):
        ratio = found.weight[codes == code] / own[codes == code]
        np.testing.assert_allclose(ratio, ratio[0])


def test_an_unknown_class_weight_is_refused(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="--class-weight none or balanced, received 'even'"):
        division(workspace, class_weight="even")


def test_a_column_keeps_its_rows_together(with_column: Callable[..., Workspace]) -> None:
    patients = [f"p{i // 6}" if i < 114 else "" for i in range(120)]
    workspace = with_column("patient", patients)
    torn = division(workspace)
    together = division(workspace, group_by="patient")

    def sides(found: Division) -> list[int]:
        named = np.array(patients)
        return [len(set(found.split.part[named == name])) for name in set(patients) - {""}]

    assert max(sides(together)) == 1 and max(sides(torn)) == 2
    assert together.group is not None and torn.group is None and together.ungrouped is None
    own = np.array(patients)[together.split.part == TRAIN]
    for name in set(own) - {""}:
        assert len(set(together.group[own == name])) == 1
    assert len(set(together.group[own == ""])) == (own == "").sum()
    again = division(workspace)  # neither record has touched the other
    assert (again.split.part == torn.split.part).all()
    with pytest.raises(UserError, match=r"received 'doctor'.*'patient'"):
        division(workspace, group_by="doctor")


def test_missing_embeddings_and_unseen_classes_are_said(workspace: Workspace, digits: Data) -> None:
    manifest = make_manifest(digits[1][:304].astype(int), tuple("0123456789"))
    manifest.split[:] = np.where((manifest.label == 9) | (np.arange(304) % 4 == 0), 3, 1)
    workspace.save_manifest("digits", manifest)
    keys = [key.tobytes() for key in manifest.key]
    refused = [
        Reject(key, "notes.txt", "no picture", "pillow") for key in (*keys[300:303], keys[0], bytes(32))
    ]
    (store,) = workspace.spaces()
    store.add_rejects(refused)
    found = division(workspace)
    assert "left out: 3 files of digits, no pictures or damaged ones, as `extract` said" in found.notes
    assert any(
        note.startswith("left out: 1 file of digits, which could not be read or") for note in found.notes
    )
    nines = int((found.truth == "9").sum())
    assert any(note.startswith(f"{nines} test pictures belong to classes without") for note in found.notes)


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[np.ndarray], tuple[Workspace, np.ndarray]]:
    """24 photographs with a near copy of each after them; labels are given for the 24."""

    def make(labels: np.ndarray, strength: float = 0.0) -> tuple[Workspace, np.ndarray]:
        folder = tmp_path / "pictures"
        folder.mkdir()
        tiles = [
            Image.fromarray(pixels[y : y + 140, x : x + 160])
            for pixels in load_sample_images().images
            for y in range(0, 420, 140)
            for x in range(0, 640, 160)
        ]
        contents = [encode(tile) for tile in tiles]
        contents += [encode(ImageEnhance.Brightness(tile).enhance(1.05), 80) for tile in tiles]
        both = np.tile(labels, 2)
        manifest = replace(
            make_manifest(both, ("a", "b")),
            root=str(folder),
            key=np.array([list(sha256(data).digest()) for data in contents], np.uint8),
            size=np.array([len(data) for data in contents]),
        )
        (folder / "0").mkdir()
        for path, data in zip(manifest.paths, contents, strict=True):
            (folder / path).write_bytes(data)
        X = np.array([look(data) for data in contents]) / 255
        X = np.hstack([X, strength * (2 * both[:, None] - 1)]).astype(np.float32)
        workspace = Workspace(tmp_path / ".coldframe").create()
        workspace.store(SPACE).add(manifest.key, X)
        workspace.save_manifest("digits", manifest)
        workspace.remember(dataset="digits", space=SPACE.id)
        return workspace, both

    return make


SHUFFLED = np.random.default_rng(1).permutation(np.arange(24) % 2)


def test_near_copies_stay_on_one_side(copied: Callable[..., tuple[Workspace, np.ndarray]]) -> None:
    found = division(copied(SHUFFLED)[0])
    part = found.split.part
    assert (part[:24] == part[24:]).all() and {TRAIN, TEST} == set(part)
    assert any("copies or near copies" in note for note in found.notes)
    assert found.group is not None and len(set(found.group)) == len(found.group) // 2
    assert found.ungrouped is not None and (found.ungrouped[:24] != found.ungrouped[24:]).any()


def test_the_figures_of_an_older_cache_do_not_change_once_its_files_were_read(
    copied: Callable[..., tuple[Workspace, np.ndarray]], tmp_path: Path
) -> None:
    """`copied` keeps rows only, as an earlier version did."""
    workspace, _ = copied(SHUFFLED)
    (tmp_path / "pictures").rename(tmp_path / "moved")
    assert any("48 pictures were not compared" in note for note in division(workspace).notes)
    (tmp_path / "moved").rename(tmp_path / "pictures")
    shutil.rmtree(tmp_path / ".coldframe" / "splits")
    told: list[int] = []
    progress = Progress(told.append, lambda done, rejected: told.append(done))
    found = division(workspace, progress=progress)  # type: ignore[arg-type]
    assert told == [48, 48] and not any("not compared" in note for note in found.notes)
    shutil.rmtree(tmp_path / "pictures")
    for path in (tmp_path / ".coldframe" / "splits").iterdir():
        path.unlink()
    again = division(workspace)
    assert again.sha256 == found.sha256 and again.notes == found.notes and len(told) == 2


def test_pictures_that_were_let_in_are_compared_whatever_their_size(
    copied: Callable[..., tuple[Workspace, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, _ = copied(SHUFFLED)
    workspace.store(SPACE).record_origin(max_pixels=10**8)
    limits: list[int] = []
    real = thumbnails.decode_whole

    def spy(data: bytes, size: int, decoding: Decoding) -> tuple[np.ndarray, ...]:
        limits.append(decoding.max_pixels)
        return real(data, size, decoding)

    monkeypatch.setattr(thumbnails, "decode_whole", spy)
    division(workspace)
    assert set(limits) == {10**8}


@pytest.fixture
def nearest(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a head that answers with the most similar picture's label."""
    head = Head("nearest", lambda: make_pipeline(KNeighborsClassifier(1)), lambda width: {}, 0)
    monkeypatch.setitem(table.HEADS, "nearest", head)
    return "nearest"


def seeming(result: FitResult) -> list[str]:
    return [note for note in result.notes if note.startswith("with near copies on both sides")]


def test_what_copies_would_have_pretended_is_said(
    copied: Callable[..., tuple[Workspace, np.ndarray]], nearest: str
) -> None:
    workspace, _ = copied(SHUFFLED)
    result = fit_heads(workspace, FitOptions([nearest], test_size=0.25, curve=False))
    found = division(workspace)
    assert found.ungrouped is not None
    fit, test = found.ungrouped == TRAIN, found.ungrouped == TEST
    X = found.data.embedding
    accuracy = KNeighborsClassifier(1).fit(X[fit], found.names[fit]).score(X[test], found.names[test])
    honest = result.heads[0].evaluation.accuracy
    assert accuracy > honest
    (note,) = seeming(result)
    assert f"reaches {accuracy:.1%} (n = {test.sum()}) instead of {honest:.1%}" in note


def test_of_streamed_rows_the_same_is_said(copied: Callable[..., tuple[Workspace, np.ndarray]]) -> None:
    workspace, _ = copied(SHUFFLED)
    options = FitOptions(["ridge"], test_size=0.25, curve=False)
    whole, streamed = (fit_heads(workspace, replace(options, max_memory_gb=gb)) for gb in (None, 1e-6))
    assert seeming(whole) == seeming(streamed) != []


def test_nothing_is_said_where_copies_make_no_difference(
    copied: Callable[..., tuple[Workspace, np.ndarray]], nearest: str
) -> None:
    workspace, _ = copied(SHUFFLED, 10.0)  # as clear a case as can be: all right, with copies or without
    result = fit_heads(workspace, FitOptions([nearest], test_size=0.25, curve=False))
    assert division(workspace).ungrouped is not None
    assert result.heads[0].evaluation.accuracy == 1 and seeming(result) == []
