"""The one model that a fine-tune hands over, in its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.versions import versions
from classify.commands.finetune.mixing.model import build_mixture
from classify.commands.finetune.mixing.share import Mixture, mixture_of
from classify.commands.finetune.network.top import head_on
from classify.commands.finetune.result import Chosen, Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.models.layers import AnyHead, build_model, closed_form
from classify.models.linear import LinearHead
from classify.models.model_file import save_model
from extract.settings import Decoding

if TYPE_CHECKING:
    import keras

MODEL = "model.keras"


@dataclass(frozen=True, eq=False)
class FinalModel:
    """The network with what was chosen on it, alone or beside the run's own head."""

    model: keras.Model
    head: AnyHead  # on the network
    asked: list[tuple[int, Decoding]]  # how pictures become each of the squares that it takes
    sha256: str  # of its file
    mixture: Mixture | None


def save_final(
    session: Session, folder: Path, start: Start, tuned: Tuned, chosen: Chosen
) -> tuple[FinalModel | None, list[str]]:
    """Build the model of the weights that `tuned` has, and write it.

    Returns
    -------
    final : FinalModel or None
        None where layers of a network cannot express the head that is kept.
    notes : list of str
    """
    kept = not chosen.history.alpha
    head = closed_form(start.loaded.head) if kept else head_on(tuned.model, start.linear, chosen.temperature)
    mixture, why = mixture_of(start, chosen)
    notes = [why] if why else []
    if head is None:
        notes.append("layers of a network cannot express the head that is kept: there is no model.keras")
        return None, notes
    mirrored = bool(chosen.mirrored and chosen.mirrored.used)
    facts = _facts(tuned, start, head, chosen.history.alpha) | ({"mirrored": True} if mirrored else {})
    asked = [(tuned.backbone.input_size, tuned.decoding)]
    if mixture and isinstance(head, LinearHead):
        notes.append(mixture.describe())
        session.say(notes[-1])
        mixed = build_mixture(session, start, tuned, head, mixture.share, facts)
        model, asked, facts = mixed.model, mixed.asked, mixed.facts
    else:
        model = build_model(tuned.backbone, tuned.decoding, head, tuned.exact_network(), mirrored=mirrored)
    return FinalModel(model, head, asked, save_model(model, folder / MODEL, facts), mixture), notes


def save_epoch(path: Path, tuned: Tuned, start: Start) -> None:
    """Write the model as it is now, uncalibrated."""
    head = head_on(tuned.model, start.linear, 1.0)
    model = build_model(tuned.backbone, tuned.decoding, head, tuned.exact_network())
    save_model(model, path, _facts(tuned, start, head, 1.0))


def _facts(tuned: Tuned, start: Start, head: AnyHead, alpha: float) -> dict[str, Any]:
    return {
        "classes": list(head.classes),
        "input_size": tuned.backbone.input_size,
        "resize": tuned.decoding.resize,
        "decoder": start.data.space.decoder,
        "backbone": tuned.backbone.name,
        "pooling": tuned.backbone.pooling,
        "head": start.loaded.record["head"]["name"],
        "alpha": alpha,
        "versions": versions("keras", "numpy"),
    }
