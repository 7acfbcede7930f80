"""The search for a head's settings where rows are streamed: that of `heads.search`, by sums over blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from cache.errors import UserError
from classify.data.labelled import Labelled
from classify.data.rows.streamed import Streamed
from classify.heads.arrays import ArrayHead
from classify.heads.fitting.fitters import takes_weights
from classify.heads.fitting.tasks import here
from classify.heads.folds import cross_validation_folds
from classify.heads.search import (
    Candidate,
    SearchOptions,
    SearchResult,
    approximated,
    check,
    choices_of_columns,
    search,
    settings_of,
)
from classify.heads.streaming.form import Setting, settings
from classify.heads.streaming.landmarks import Landmarks
from classify.heads.streaming.linear import Linear, held_out_scores, hits
from classify.heads.streaming.moments import gather
from classify.heads.streaming.table import STREAMED, Folds
from classify.heads.table import Head


def search_rows(head: Head, data: Labelled, how: SearchOptions | None = None) -> SearchResult:
    """Search a head's settings, as `heads.search.search` does, on rows in memory or streamed."""
    return (
        _streamed(head, data, how or SearchOptions())
        if isinstance(data.X, Streamed)
        else search(head, data, how)
    )


def _streamed(head: Head, data: Labelled, how: SearchOptions) -> SearchResult:
    from sklearn.base import clone
    from sklearn.model_selection import ParameterGrid

    from classify.heads.fitting.parts import without_parts

    if head.name not in STREAMED:
        raise UserError(
            f"Expected a head that can be fitted block by block ({', '.join(STREAMED)}), received {head.name}: "
            f"{len(data.y):,} rows of {data.X.shape[1]:,} numbers do not fit into --max-memory-gb. Raise it, or name "
            "one of those with --model."
        )
    start, fit = how.clock(), STREAMED[head.name]
    classes, codes, count, notes = check(data, how.folds)
    if how.spread is not here:
        notes.append(
            f"{head.name} is fitted on this machine: rows that are read block by block stay where they are"
        )
    chosen = head.large or head
    notes += approximated(head, chosen, len(codes))
    template, grids = settings_of(chosen, data)
    weighted = takes_weights(template)
    if data.weight is not None and not weighted:
        notes.append(f"{head.name} takes no weights: fitted as if all rows weighed the same")
    candidates = list(ParameterGrid(grids))
    parts = cross_validation_folds(codes, count, how.seed, data.group)
    fold = np.empty(len(codes), np.intp)
    for number, (_, out) in enumerate(parts):
        fold[out] = number
    accuracy, solved = np.full((len(candidates), count), np.nan), np.ones(len(candidates), bool)
    sizes, best, interrupted = np.bincount(fold), _Best(), False
    todo = settings(candidates, choices_of_columns(chosen, data)[-1])
    try:
        # The sooner the best is known, the sooner others are seen to be behind: roots before plain rows and lengths.
        todo.sort(
            key=lambda each: (each.form.columns.width, each.form.rows, str(each.form), each.scaling),
            reverse=True,
        )
        for form, of_form in groupby(todo, lambda each: each.form):
            members, rows, weight = list(of_form), form.columns.of(data.X), data.weight if weighted else None
            if form.gamma:
                form = replace(form, landmarks=Landmarks.among(rows, form.gamma, how.n_jobs))
                members = [replace(setting, form=form) for setting in members]
            rows = rows.only(form)
            folds = Folds(
                rows,
                codes,
                fold,
                weight,
                gather(rows, codes, fold, weight, jobs=how.n_jobs),
                how.n_jobs,
            )
            for _, of_scaling in groupby(members, lambda each: each.scaling):
                if how.seconds is not None and how.clock() - start > how.seconds:
                    break
                lot = list(of_scaling)
                models = fit(replace(folds, reached=best.mean), lot, False)
                right = np.array([[model.right for model in each] for each in models], float)
                if np.isnan(right).any():
                    right = hits(rows, models, codes, fold, how.n_jobs) / sizes
                accuracy[[each.number for each in lot]] = right
                solved[[each.number for each in lot]] = [all(one.solved for one in each) for each in models]
                best.look(lot, models, right, folds)
                if how.on_progress:
                    how.on_progress(int(np.isfinite(accuracy).sum()), accuracy.size)
    except KeyboardInterrupt:
        if best.setting is None:
            raise
        interrupted = True
    if best.setting is None or best.folds is None:
        raise UserError(
            f"Expected time for at least one setting of {head.name} on {count} folds, received {how.seconds:.1f} s. "
            "Raise --budget, or choose a cheaper head with --model."
        )
    complete = np.flatnonzero(np.isfinite(accuracy).all(axis=1))
    if len(complete) < len(candidates):
        why = "interrupted" if interrupted else "out of time"
        notes.append(f"{head.name}: {why} after {len(complete)} of {len(candidates)} settings")
    if not solved.all():
        notes.append(
            f"{head.name}: {(~solved).sum()} of {len(candidates)} settings were clearly behind and not fitted to the "
            "end; their accuracies are of where they were left"
        )
    table = [Candidate(candidates[number], accuracy[number], bool(solved[number])) for number in complete]
    how.on_refit()
    setting = best.setting
    [[whole]] = fit(best.folds, [setting], True)

    def again(others: Streamed, y: np.ndarray) -> ArrayHead:
        rows, (names, codes) = (
            setting.form.columns.of(others).only(setting.form),
            np.unique(y, return_inverse=True),
        )
        none = np.zeros(len(y), np.intp)
        moments = gather(rows, codes, none, None, jobs=how.n_jobs)
        [[model]] = fit(Folds(rows, codes, none, None, moments, how.n_jobs), [setting], True)
        return model.head(setting, names)

    unfitted = without_parts(clone(template).set_params(**candidates[setting.number]))[1]
    mine = Candidate(candidates[setting.number], accuracy[setting.number])
    return SearchResult(
        head=head.name,
        params=mine.params,
        settings=mine.settings,
        cv_accuracy=mine.mean,
        cv_std=mine.std,
        candidates=table,
        classes=classes,
        scores=held_out_scores(best.folds.rows, best.models, fold),
        columns=setting.form.columns,
        template=unfitted,
        pipeline=whole.head(setting, classes),
        seconds=how.clock() - start,
        notes=notes,
        folds=parts,
        interrupted=interrupted,
        again=again,
    )


class _Best:
    """The best setting so far, of equal ones the first of all candidates, with its models."""

    def __init__(self) -> None:
        self.setting: Setting | None = None
        self.models: Sequence[Linear] = ()
        self.folds: Folds | None = None
        self.mean = 0.0

    def look(
        self, members: Sequence[Setting], models: Sequence[Sequence[Linear]], right: np.ndarray, folds: Folds
    ) -> None:
        """Compare further settings, (members, folds) accuracies, with it."""
        for setting, of_setting, mean in zip(members, models, right.mean(axis=1).round(9), strict=True):
            first = self.setting is None or setting.number < self.setting.number
            better = mean > self.mean or (mean == self.mean and first)
            if better and all(model.solved for model in of_setting):
                self.setting, self.models, self.mean, self.folds = setting, of_setting, float(mean), folds
