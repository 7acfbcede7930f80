"""How the model asks for its answer, larger or for a mirror image too: what the validating pictures say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from classify.commands.finetune.asked import Enlarged, Mirrored, Sized
from classify.commands.finetune.network.top import head_on
from classify.commands.finetune.result import Chosen, Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.heads.calibration import fit_temperature
from classify.models.layers import build_model
from classify.models.probabilities import answer
from classify.training.validation import better, judge
from extract.backbones.external.graph import reason_of

LARGER = (8 / 7, 9 / 7)  # times the head's size: 256 and 288 pixels for 224
STEP = 16  # pixels of which sizes are multiples
_UNREAD = "a validating picture could not be read"
_TINY = float(np.finfo(np.float32).tiny)


def with_larger_pictures(session: Session, start: Start, tuned: Tuned, chosen: Chosen) -> Chosen:
    """Answer for a picture at a larger size than the head does, where that is better on the validating pictures.

    Crops show things larger than they are in whole pictures, so that a network that was trained on them knows larger
    things better (Touvron et al. 2019, arXiv 1906.06423). A larger size is taken for a smaller one where it has no
    fewer right answers and a lower calibrated loss.

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
        With what came of it as `enlarged`, and with the logits and the temperature at the size that is taken.
    """
    if not chosen.history.alpha:
        return chosen
    if tuned.backbone.pooling.startswith("flatten"):
        return _told(session, chosen, "larger pictures are not asked about: with flatten a row has one size")
    codes = start.codes(start.val[start.validated])
    usual = tuned.backbone.input_size
    taken, size, logits = judge(chosen.logits, codes), usual, chosen.logits
    tried = [Sized(usual, taken.accuracy, taken.calibrated_loss)]
    for larger in sorted({round(usual * times / STEP) * STEP for times in LARGER} - {usual}):
        why = _UNREAD
        try:
            said = _asked(session, start, tuned.at(larger), chosen, f"pictures of {larger} pixels")
        except Exception as error:  # a layer that is not made for other sizes may raise whatever it likes
            said, why = None, reason_of(error)
        if said is None:
            chosen = _told(session, chosen, f"pictures of {larger} pixels are not asked about: {why}")
            break
        found = judge(said, codes)
        tried.append(Sized(larger, found.accuracy, found.calibrated_loss))
        if better(found, taken, errors=0.0):
            taken, size, logits = found, larger, said
    if len(tried) == 1:
        return chosen
    enlarged = Enlarged(size, tried, len(codes))
    chosen = replace(_told(session, chosen, enlarged.describe()), enlarged=enlarged)
    return chosen if size == usual else _answering(chosen, logits, codes)


def with_mirror_images(session: Session, start: Start, tuned: Tuned, chosen: Chosen) -> Chosen:
    """Answer for a picture and its mirror image together, unless that is worse on the validating pictures.

    Krizhevsky, Sutskever and Hinton (2012, Advances in Neural Information Processing Systems 25, section 4.1) average
    over mirror images, too. Of digits or text they are other pictures, so the validating ones decide.

    Parameters
    ----------
    session : Session
    start : Start
    tuned : Tuned
        With the weights that were chosen, at the size that was.
    chosen : Chosen

    Returns
    -------
    Chosen
        With what came of it as `mirrored`; where they are used (no fewer right answers, and a lower loss), with the
        logits and the temperature of both together.
    """
    if not chosen.history.alpha:
        return chosen
    logits = _asked(session, start, tuned, chosen, "mirror images", mirrored=True)
    if logits is None:
        return _told(session, chosen, f"mirror images are not asked about: {_UNREAD}")
    codes = start.codes(start.val[start.validated])
    alone, both = judge(chosen.logits, codes), judge(logits, codes)
    mirrored = Mirrored(
        better(both, alone, errors=0.0),
        both.accuracy,
        alone.accuracy,
        both.calibrated_loss,
        alone.calibrated_loss,
        len(codes),
    )
    chosen = replace(_told(session, chosen, mirrored.describe()), mirrored=mirrored)
    return _answering(chosen, logits, codes) if mirrored.used else chosen


def _asked(
    session: Session, start: Start, tuned: Tuned, chosen: Chosen, part: str, *, mirrored: bool = False
) -> np.ndarray | None:
    """Logits (v, C) of the validating pictures from the pixels; None where one cannot be read now."""
    head = head_on(tuned.model, start.linear, chosen.temperature)
    rows, how = start.val[start.validated], [(tuned.backbone.input_size, tuned.decoding)]
    model = build_model(tuned.backbone, tuned.decoding, head, tuned.exact_network(), mirrored=mirrored)
    said = answer(model, start.data.manifest, rows, how, len(head.classes), session.say, part=part)
    if not np.isfinite(said).all():
        return None
    return np.asarray(chosen.temperature * np.log(np.maximum(said, _TINY)))


def _answering(chosen: Chosen, logits: np.ndarray, codes: np.ndarray) -> Chosen:
    known = codes >= 0
    return replace(chosen, logits=logits, temperature=fit_temperature(logits[known], codes[known]))


def _told(session: Session, chosen: Chosen, line: str) -> Chosen:
    session.say(line)
    return replace(chosen, notes=[*chosen.notes, line])
