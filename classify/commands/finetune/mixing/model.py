"""The run's own head and the tuned network in one model of plain Keras layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classify.commands.finetune.result import Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.models.layers import Branch, Member, closed_form, mix, squares_of
from classify.models.linear import LinearHead
from classify.models.run_model import SHARE, branches_of, facts_of
from classify.runs.head_rows import HeadRows
from extract.settings import Decoding

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class Mixed:
    """The model, how pictures become each of the squares that it takes, and what its file says of it."""

    model: keras.Model
    asked: list[tuple[int, Decoding]]
    facts: dict[str, Any]


def build_mixture(
    session: Session,
    start: Start,
    tuned: Tuned,
    head: LinearHead,
    share: float,
    facts: dict[str, Any],
) -> Mixed:
    """Join all networks of the run's own head, as they were, with the tuned one.

    Parameters
    ----------
    session : Session
    start : Start
        With the run's own head as its `original`.
    tuned : Tuned
        With the weights that it is to have.
    head : LinearHead
        Of the tuned network, its temperature in it.
    share : float
        Of the run's own head.
    facts : dict
        Of the tuned network by itself; "mirrored" where it answers for mirror images, too.

    Raises
    ------
    UserError
        When a network of the run's own head has other weights by now.
    """
    assert start.original is not None
    loaded = start.original.answering
    own = loaded and closed_form(loaded.head)
    assert loaded and own
    rows = HeadRows(session.workspace, loaded, session.options, session.trust, session.say)
    alone = Branch(tuned.backbone, tuned.decoding, network=tuned.exact_network())
    branches = branches_of(loaded, rows)
    mirrored = facts.get("mirrored", False)
    model = mix([Member([alone], head, 1 - share, mirrored), Member(branches, own, share)])
    of_network = ("input_size", "resize", "decoder", "backbone", "pooling")
    first = {name: facts[name] for name in of_network}
    most = max(branch.decoding.max_pixels for branch in [alone, *branches])
    squares = squares_of([alone, *branches])
    asked = [(each.size, Decoding(each.resize, most, each.resizer)) for each in squares]
    others = {name: fact for name, fact in facts.items() if name not in of_network}
    described = {
        "backbone": "+".join(branch.backbone.name for branch in [alone, *branches]),
        "inputs": [first, *map(facts_of, loaded.inputs)],
        SHARE: share,
    }
    return Mixed(model, asked, others | described)
