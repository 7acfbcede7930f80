"""How large the pictures are that train: smaller than those that are answered for, where the network takes both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cache.errors import UserError
from classify.commands.finetune.network.handoff_check import HALF, TOLERANCE
from classify.commands.finetune.network.top import build_top
from classify.commands.finetune.result import Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.models.linear import LinearHead
from extract.backbones.external.graph import reason_of
from extract.backbones.network import below, pool
from extract.backbones.preprocessing import preprocess
from extract.pictures.policies import POLICIES

if TYPE_CHECKING:
    import keras

SHARE = 6 / 7  # of the side that is answered for: 192 pixels for 224
STEP = 32  # pixels of which sizes are multiples: of other ones the strides of a network leave the edge out, or pad it
LEAST = 64  # pixels, unless fewer are asked for
ROUNDING = 1e-5  # of a logit


def with_view_size(session: Session, start: Start, tuned: Tuned, head: LinearHead) -> tuple[Tuned, Tuned]:
    """Let the top of a network take activations of two sizes, and build the network for the pictures that train.

    In crops things are larger than in whole pictures. Where crops are smaller by as much, things are as large in those
    that train as in those that are answered for later (Touvron et al. 2019, arXiv 1906.06423), and all that is done
    with them is done with fewer pixels. By default they are as large as the head's where views are no crops, where the
    model may answer for larger pictures (`Settings.larger`), and with folds, where pictures are few.

    Parameters
    ----------
    session : Session
    start : Start
        Of its settings the size that is asked for matters here.
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
    size, wanted = tuned.backbone.input_size, start.settings.view_size
    smaller = _usual(start, size) if wanted is None else wanted or size
    if smaller == size:
        return tuned, tuned
    try:
        if tuned.backbone.pooling.startswith("flatten"):
            raise UserError("with flatten a row has one size")
        model = build_top(tuned.network, tuned.border, tuned.backbone, head, any_size=True)
        viewed = tuned.at(smaller)
        _check(model, viewed, head, HALF if model.compute_dtype == "float16" else TOLERANCE)
    except Exception as error:  # a layer that is not made for other sizes may raise whatever it likes
        reason = reason_of(error)
        if wanted is not None:
            raise UserError(
                f"Expected a --view-size that {tuned.backbone.name} takes beside {size}, received {wanted}: {reason}. "
                "--view-size 0 is always right."
            ) from error
        session.say(f"pictures of {size} pixels train, no smaller ones: {reason}")
        return tuned, tuned
    return replace(tuned, model=model, view_size=smaller), viewed


def _usual(start: Start, size: int) -> int:
    settings = start.settings
    crops = settings.views > 0 and POLICIES[settings.augment].crop < 1
    if not crops or settings.larger or len(start.trials) > 1:
        return size
    return min(size, max(LEAST, round(SHARE * size / STEP) * STEP))


def _check(model: keras.Model, viewed: Tuned, head: LinearHead, tolerance: float) -> None:
    """Compare the answers of top and whole network for one picture, of noise; UserError where they differ."""
    import keras

    size, network, numpy = viewed.backbone.input_size, viewed.network, keras.ops.convert_to_numpy
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    prepared = preprocess(keras.ops.convert_to_tensor(pixels), viewed.backbone.preprocessing)
    given = pixels
    if viewed.border.layer:
        given = below(network, viewed.border.layer)(prepared)
    expected = head.logits(numpy(pool(network(prepared), viewed.backbone.pooling)))
    received = numpy(model(given))
    spread = np.abs(expected - head.bias).max()
    if not np.allclose(received, expected, rtol=ROUNDING, atol=ROUNDING + tolerance * spread):
        raise UserError("the layers above the border see another part of pictures of that size")
