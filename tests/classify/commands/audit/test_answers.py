"""Whose answers judge the labels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import Manifest
from cache.workspace import Workspace
from classify.commands.audit.answers import Answers, answers_to
from classify.commands.audit.labelled import Labelled
from classify.data.neighbours.cached import neighbours_of
from classify.runs.folder import write_json
from classify.runs.record import of_space, record
from classify.runs.scores import Scores, write
from tests.classify.samples import SPACE, make_manifest

Build = Callable[[Manifest, np.ndarray], Workspace]
N, CLASSES = 60, ("a", "b", "c")
LABEL = np.arange(N) % 3
MADE = {"head": {"name": "svm", "cv_accuracy": 0.9}, "space": of_space(SPACE)}
ROWS = np.eye(64, dtype=np.float32)[LABEL] + np.random.default_rng(0).normal(scale=0.1, size=(N, 64)).astype(
    np.float32
)


def scores_of(manifest: Manifest, classes: tuple[str, ...] = CLASSES, seed: int = 0) -> Scores:
    """Made-up answers to all pictures of a manifest, out of fold to the first half."""
    n = len(manifest)
    probability = np.random.default_rng(seed).dirichlet(np.ones(len(classes)), n).astype(np.float32)
    code = np.array([classes.index(name) for name in manifest.classes])
    return Scores(
        classes,
        manifest.key,
        tuple(manifest.paths),
        code[manifest.label].astype(np.int32),
        np.zeros(n, np.uint8),
        np.where(np.arange(n) < n // 2, 0, -1).astype(np.int16),
        np.arange(n, dtype=np.int32),
        probability,
    )


def add_run(workspace: Workspace, scores: Scores | None, dataset: str = "digits") -> Path:
    folder = workspace.new_run("fit-head")
    write_json(folder / "run.json", record("fit-head", **MADE, dataset=dataset))
    if scores is not None:
        write(folder, scores)
    return folder


def asked(workspace: Workspace, named: str | None = None) -> Answers:
    data = workspace.load()
    labelled = Labelled.of(data, np.arange(len(data.manifest)), neighbours_of(data))
    return answers_to(workspace, data, labelled, named, 0)


def test_the_newest_run_that_cross_validated_on_the_data_set_answers(build: Build) -> None:
    manifest = make_manifest(LABEL, CLASSES)
    workspace = build(manifest, ROWS)
    add_run(workspace, scores_of(manifest, seed=1))
    newest = add_run(workspace, (scores := scores_of(manifest, seed=2)))
    add_run(workspace, scores_of(manifest, seed=3), dataset="another")
    add_run(workspace, replace(scores, fold=np.full(N, -1, np.int16)))
    add_run(workspace, None)
    found = asked(workspace)
    assert found.run == newest and newest.name in found.by and found.notes == []
    np.testing.assert_array_equal(found.probability, scores.probability)


def test_answers_go_by_key_and_name_of_class(build: Build) -> None:
    manifest = make_manifest(LABEL, CLASSES)
    workspace = build(manifest, ROWS)
    scores = scores_of(manifest.select(np.arange(N)[::-1]), ("c", "gone", "a", "b"))
    add_run(workspace, scores)
    np.testing.assert_array_equal(asked(workspace).probability, scores.probability[::-1][:, [2, 3, 0]])


def test_pictures_that_the_run_does_not_know_are_said(build: Build) -> None:
    manifest = make_manifest(LABEL, CLASSES)
    workspace = build(manifest, ROWS)
    run = add_run(workspace, scores_of(manifest.select(np.arange(N) < 50)))
    found = asked(workspace)
    assert np.isnan(found.probability[50:]).all() and np.isfinite(found.probability[:50]).all()
    assert found.notes == [note for note in found.notes if f"10 labels not judged: {run.name}" in note] != []


def test_labels_that_changed_since_are_said_and_judged_as_they_are(build: Build) -> None:
    manifest = make_manifest(LABEL, CLASSES)
    workspace = build(manifest, ROWS)
    scores = scores_of(manifest)
    add_run(workspace, scores)
    manifest.label[:4] = (manifest.label[:4] + 1) % 3
    workspace.save_manifest("digits", manifest)
    found = asked(workspace)
    assert any("4 labels changed since" in note for note in found.notes)
    np.testing.assert_array_equal(found.probability, scores.probability)


def test_a_picture_under_two_labels_is_not_judged(build: Build) -> None:
    manifest = make_manifest(LABEL, CLASSES)
    manifest.key[1] = manifest.key[0]
    workspace = build(manifest, ROWS)
    add_run(workspace, scores_of(manifest.select(np.arange(N) > 1)))
    assert asked(workspace).notes == []  # fit-head leaves it out, however often it is run
    add_run(workspace, scores_of(manifest))
    assert np.isnan(asked(workspace).probability[:2]).all()


def test_without_a_run_a_head_of_its_own_answers(build: Build) -> None:
    label = LABEL.copy()
    label[:3] = 3  # a class of three pictures
    manifest = make_manifest(label, (*CLASSES, "rare"))
    found = asked(build(manifest, ROWS))
    assert found.run is None and "logistic regression" in found.by
    assert np.isnan(found.probability[:3]).all() and np.isfinite(found.probability[3:]).all()
    assert any(
        "3 labels not judged: 1 class with fewer than 5 distinct pictures (rare)" in n for n in found.notes
    )
    assert any("no run of fit-head has answers" in note for note in found.notes)


def test_one_class_is_said(build: Build) -> None:
    found = asked(build(make_manifest(np.zeros(N, int), ("a",)), ROWS))
    assert found.by == "" and any("takes two classes" in note for note in found.notes)


def test_a_named_run_without_scores_is_refused_with_the_command_that_makes_them(build: Build) -> None:
    workspace = build(make_manifest(LABEL, CLASSES), ROWS)
    old = add_run(workspace, None)
    with pytest.raises(UserError, match=r"Expected scores.h5.*Run `fit-head"):
        asked(workspace, old.name)
    with pytest.raises(UserError, match="which is not there"):
        asked(workspace, "017-fit-head")


def test_a_named_run_without_cross_validation_answers_for_what_it_did_not_train_on(build: Build) -> None:
    manifest = make_manifest(LABEL, CLASSES)
    workspace = build(manifest, ROWS)
    held = np.arange(N) >= 48
    tested = scores_of(manifest.select(held))
    run = add_run(workspace, replace(tested, fold=np.full(12, -1, np.int16), part=np.full(12, 2, np.uint8)))
    found = asked(workspace, run.name)
    assert np.isfinite(found.probability).all(axis=1).tolist() == held.tolist()
    assert any("48 labels not judged" in note for note in found.notes)
