"""How large the pictures are that train: smaller than those that are answered for, where the network takes both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cache.errors import UserError
from classify.commands.finetune.network.top import build_top
from classify.commands.finetune.result import Tuned
from classify.commands.finetune.session import Session
from classify.models.linear import LinearHead
from classify.training.settings import Settings
from extract.pictures.policies import POLICIES

if TYPE_CHECKING:
    import keras

SHARE = 5 / 7  # of the side that is answered for: 160 pixels for 224
STEP = 16  # pixels of which sizes are multiples
LEAST = 64  # pixels, unless fewer are asked for


def with_view_size(
    session: Session, settings: Settings, tuned: Tuned, head: LinearHead
) -> tuple[Tuned, Tuned]:
    """Let the top of a network take activations of two sizes, and build the network for the pictures that train.

    In crops things are larger than in whole pictures. Where crops are smaller by as much, things are as large in those
    that train as in those that are answered for later (Touvron et al. 2019, arXiv 1906.06423), and all that is done
    with them is done with fewer pixels. Where views are no crops, and where the model may answer for larger pictures
    (`Settings.larger`), they are as large as the head's.

    Parameters
    ----------
    session : Session
    settings : Settings
        Of them the size that is asked for matters here.
    tuned : Tuned
    head : LinearHead
        That is on its model.

    Returns
    -------
    tuned : Tuned
        Its model takes activations of both sizes.
    viewed : Tuned
        The same for pictures that train; the very same where there is one size alone, as with `flatten`, or with
        weights that are a matter of the size.

    Raises
    ------
    UserError
        Where a size was asked for that the network does not take.
    """
    size, wanted = tuned.backbone.input_size, settings.view_size
    smaller = wanted or size
    if wanted is None and settings.views and POLICIES[settings.augment].crop < 1 and not settings.larger:
        smaller = min(size, max(LEAST, round(SHARE * size / STEP) * STEP))
    if smaller == size:
        return tuned, tuned
    try:
        if tuned.backbone.pooling.startswith("flatten"):
            raise UserError("with flatten a row has one size")
        model = build_top(tuned.network, tuned.border, tuned.backbone, head, any_size=True)
        viewed = tuned.at(smaller)
        model(_activations(viewed))
    except (UserError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        if wanted is not None:
            raise UserError(
                f"Expected a --view-size that {tuned.backbone.name} takes beside {size}, received {wanted}: {reason}. "
                "--view-size 0 is always right."
            ) from error
        session.say(f"pictures of {size} pixels train, no smaller ones: {reason}")
        return tuned, tuned
    return replace(tuned, model=model, view_size=smaller), viewed


def _activations(tuned: Tuned) -> keras.KerasTensor:
    import keras

    if not tuned.border.layer:
        size = tuned.backbone.input_size
        return keras.Input((size, size, 3), dtype="uint8")
    return keras.Input(tuned.activations)
