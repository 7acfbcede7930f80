"""Which pictures a page shows, and where: surest mistakes, what classes are taken for, and the table of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

import numpy as np

from cache.workspace import Workspace
from classify.pages.nearest import nearest_training
from classify.pages.run import Run, wrong
from classify.report.html.thumbnails import of_files

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

SUREST, FREQUENT = 12, 10  # mistakes, and kinds of mistakes
PANELS, TAKEN, EACH = 24, 3, 5  # classes with a panel, answers that one has, pictures of an answer
ROWS = 2_000  # of the table of all pictures; predictions.csv has all
NAMED = 200  # classes in the table of classes


@dataclass(frozen=True)
class Shown:
    """A picture with its label and an answer; `part` is empty for the test part."""

    path: str
    label: str
    answer: str
    probability: float
    part: str = ""

    @property
    def wrong(self) -> bool:
        """Whether label and answer differ."""
        return self.label != self.answer

    @property
    def file(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Changed:
    """`count` pictures whose answer a fine-tune changed in one way, the surest first."""

    outcome: str
    count: int
    pictures: Sequence[tuple[Shown, str]]  # with the answer before


@dataclass(frozen=True)
class Taken:
    """`count` pictures of a class with a wrong answer, or with one and the same: the surest first."""

    answer: str
    count: int
    pictures: Sequence[Shown]


@dataclass(frozen=True)
class Panel:
    """A class: how well it is recognised, what it is taken for, and what is taken for it."""

    name: str
    n: int
    recall: float
    low: float
    high: float
    precision: float
    face: Shown | None  # the surest right answer
    taken_for: Sequence[Taken]  # the most frequent answers
    others: Taken  # pictures of other classes that got this one


@dataclass(frozen=True)
class Gallery:
    """All that the page of a run shows of pictures."""

    surest: Sequence[Shown]
    nearest: Mapping[str, Sequence[Shown]]  # path of one of them -> the training pictures most like it
    changed: Sequence[Changed]
    panels: Sequence[Panel]
    rows: Sequence[Shown]
    mistakes: int  # of the test part
    frequent: Sequence[tuple[str, str, int]]  # label and answer of the most frequent mistakes, and how often
    wrong: int  # with those of the training part, out of fold

    def wanted(self) -> Iterable[str]:
        """Paths of the pictures, the more important first."""
        faces = [panel.face.path for panel in self.panels if panel.face]
        groups = [
            [each.path for each in group.pictures]
            for panel in self.panels
            for group in (*panel.taken_for, panel.others)
        ]
        in_turn = (path for paths in zip_longest(*groups) for path in paths if path)
        near = (each.path for pictures in self.nearest.values() for each in pictures)
        surest, rows = ([each.path for each in pictures] for pictures in (self.surest, self.rows))
        changed = (each.path for group in self.changed for each, _ in group.pictures)
        return chain(surest, near, changed, faces, in_turn, rows)


@dataclass(frozen=True)
class Thumbnails:
    """Style rules with the thumbnails of a page, each once, and the class by which a path has its own."""

    style: Markup
    names: dict[str, str] = field(
        default_factory=dict
    )  # path -> class; "gone" for one that cannot be read now

    @classmethod
    def of(cls, run: Run, workspace: Workspace, paths: Iterable[str]) -> Thumbnails:
        """Read the pictures again."""
        return cls.showing(of_files(run.root, paths, run.keys(workspace)))

    @classmethod
    def showing(cls, made: Mapping[str, str]) -> Thumbnails:
        """Take the data URIs of paths, empty for those that cannot be read."""
        from markupsafe import Markup

        names = {path: f"t{number}" if uri else "gone" for number, (path, uri) in enumerate(made.items())}
        rules = (f".{names[path]}{{background-image:url({uri})}}" for path, uri in made.items() if uri)
        return cls(Markup("\n".join(rules)), names)

    @property
    def gone(self) -> int:
        """How many could not be read."""
        return sum(name == "gone" for name in self.names.values())

    def __getitem__(self, path: str) -> str:
        return self.names.get(path, "")


def gallery(run: Run, workspace: Workspace) -> Gallery:
    """Choose what is shown."""
    answers = run.answers
    bad = wrong(answers)
    probability = answers["probability"].to_numpy()
    order = np.lexsort(
        (np.where(bad, -probability, probability), ~bad)
    )  # surest mistakes, then doubtful answers
    listed = run.table("mistakes.csv")
    surest = _shown(answers, order[: min(SUREST, int(bad.sum()))])
    if listed is not None and {"label", "predicted", "probability"} <= {*listed}:
        surest = _shown(listed, range(min(SUREST, len(listed))))
    pairs = Counter(answers.loc[bad, ["label", "predicted"]].itertuples(index=False, name=None))
    return Gallery(
        surest=surest,
        nearest={
            path: [Shown(*near, answer="", probability=0.0) for near in found]
            for path, found in nearest_training(workspace, run, [each.path for each in surest]).items()
        },
        changed=_changed(run),
        panels=_panels(run, answers, bad),
        rows=_shown(answers, order[:ROWS]),
        mistakes=int(bad.sum()),
        frequent=[(*pair, count) for pair, count in pairs.most_common(FREQUENT)],
        wrong=int(bad.sum()) if listed is None else len(listed),
    )


def _changed(run: Run) -> list[Changed]:
    """What a fine-tune mended and broke."""
    listed = run.table("changed.csv")
    if listed is None or listed.empty:
        return []
    found = []
    for outcome, rows in listed.groupby("outcome", sort=False):
        some = rows[:SUREST]
        columns = (some[name] for name in ("path", "label", "after", "probability_after"))
        shown = [Shown(*row) for row in zip(*columns, strict=True)]
        found.append(Changed(str(outcome), len(rows), list(zip(shown, some["before"], strict=True))))
    return found


def _panels(run: Run, answers: pd.DataFrame, bad: np.ndarray) -> list[Panel]:
    """The classes with the lowest recall first."""
    e = run.evaluation
    label, predicted = (answers[name].to_numpy() for name in ("label", "predicted"))
    sure = np.argsort(-answers["probability"].to_numpy(), kind="stable")
    found = []
    for code in np.lexsort((-e.support, e.recall, e.support == 0))[:PANELS].tolist():
        name = e.classes[code]
        right = sure[(label[sure] == name) & ~bad[sure]][:1]
        missed, called = (sure[(each[sure] == name) & bad[sure]] for each in (label, predicted))
        found.append(
            Panel(
                name=name,
                n=int(e.support[code]),
                recall=float(e.recall[code]),
                low=float(e.recall_low[code]),
                high=float(e.recall_high[code]),
                precision=float(e.precision[code]),
                face=next(iter(_shown(answers, right)), None),
                taken_for=_by_answer(answers, missed),
                others=Taken(name, len(called), _shown(answers, called[:EACH])),
            )
        )
    return found


def _by_answer(answers: pd.DataFrame, rows: np.ndarray) -> list[Taken]:
    """The answers that rows got, the most frequent first."""
    said = answers["predicted"].to_numpy()[rows]
    frequent = Counter(said.tolist()).most_common(TAKEN)
    return [Taken(name, count, _shown(answers, rows[said == name][:EACH])) for name, count in frequent]


def _shown(table: pd.DataFrame, rows: Iterable[int]) -> list[Shown]:
    chosen = table.iloc[list(rows)]
    part = chosen["part"].replace("test", "") if "part" in chosen else [""] * len(chosen)
    columns = (chosen[name] for name in ("path", "label", "predicted", "probability"))
    return [Shown(*row) for row in zip(*columns, part, strict=True)]
