"""Whether the model answers for a picture and its mirror image together: what the validating pictures say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from classify.commands.finetune.network.top import head_on
from classify.commands.finetune.result import Chosen, Mirrored, Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.heads.calibration import fit_temperature
from classify.models.layers import build_model
from classify.models.probabilities import answer
from classify.training.validation import better, judge

_TINY = float(np.finfo(np.float32).tiny)


def with_mirror_images(session: Session, start: Start, tuned: Tuned, chosen: Chosen) -> Chosen:
    """Answer for a picture and its mirror image together, unless that is worse on the validating pictures.

    Krizhevsky, Sutskever and Hinton (2012, Advances in Neural Information Processing Systems 25, section 4.1) average
    over mirror images, too. Of digits or text they are other pictures, so the validating ones decide.

    Parameters
    ----------
    session : Session
    start : Start
    tuned : Tuned
        With the weights that were chosen.
    chosen : Chosen

    Returns
    -------
    Chosen
        With what came of it as `mirrored`; where they are used (no fewer right answers, and a lower loss), with the
        logits and the temperature of both together.
    """
    if not chosen.history.alpha:
        return chosen
    head = head_on(tuned.model, start.linear, chosen.temperature)
    rows, asked = start.val[start.validated], [(tuned.backbone.input_size, tuned.decoding)]
    model = build_model(tuned.backbone, tuned.decoding, head, tuned.exact_network(), mirrored=True)
    said = answer(
        model, start.data.manifest, rows, asked, len(head.classes), session.say, part="mirror images"
    )
    if not np.isfinite(said).all():
        return _told(
            session, chosen, "mirror images are not asked about: a validating picture could not be read"
        )
    codes = start.codes(rows)
    logits = chosen.temperature * np.log(np.maximum(said, _TINY))
    alone, both = judge(chosen.logits, codes), judge(logits, codes)
    mirrored = Mirrored(
        better(both, alone, errors=0.0),
        both.accuracy,
        alone.accuracy,
        both.calibrated_loss,
        alone.calibrated_loss,
        len(rows),
    )
    chosen = replace(_told(session, chosen, mirrored.describe()), mirrored=mirrored)
    if not mirrored.used:
        return chosen
    known = codes >= 0
    return replace(chosen, logits=logits, temperature=fit_temperature(logits[known], codes[known]))


def _told(session: Session, chosen: Chosen, line: str) -> Chosen:
    session.say(line)
    return replace(chosen, notes=[*chosen.notes, line])
