"""How much of the answer the run's own head has: what the validating pictures say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from classify.commands.finetune.result import Chosen, Together
from classify.commands.finetune.start.start import Start
from classify.models.layers import closed_form
from classify.training.validation import Judgement, better

SHARES = tuple(step / 10 for step in range(1, 10))
ERRORS = 2.0  # standard errors with folds: the network that they judge is not the final one
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Mixture:
    """The run's own head has this `share` of the answer, the tuned network the rest.

    `probability` (v, C) is what they say together of the validating pictures; `own`, `tuned` and `together` judge each.
    """

    share: float
    probability: np.ndarray
    own: Judgement
    tuned: Judgement
    together: Judgement

    def summary(self) -> Together:
        """The figures."""
        return Together(self.share, self.together.accuracy, self.tuned.accuracy)

    def describe(self) -> str:
        """One line for people."""
        figures = ", ".join(
            f"{name} {judged.accuracy:.1%} (loss {judged.loss:.3f})"
            for name, judged in (
                ("its own head", self.own),
                ("fine-tuned", self.tuned),
                ("both", self.together),
            )
        )
        return (
            f"the answer is {self.share:.0%} the run's own head and {1 - self.share:.0%} the fine-tuned network; "
            f"validating pictures: {figures}"
        )


def mixture_of(start: Start, chosen: Chosen) -> tuple[Mixture | None, str]:
    """Mix the run's own head with the tuned network, if both together are better than either.

    Returns
    -------
    mixture : Mixture or None
    note : str
        Why there can be none; empty where it was the pictures that said so.
    """
    original = start.original
    if original is None or original.answering is None or not chosen.history.alpha:
        return None, ""
    name, answering = original.name, original.answering
    if tuple(answering.head.classes_.tolist()) != start.linear.classes:
        return None, f"{name} knows other classes than the fine-tuned network: they do not answer together"
    if any(each.space.backbone.startswith("savedmodel:") for each in answering.inputs):
        return (
            None,
            f"{name} is on a SavedModel, which no .keras file can hold: it is no part of the model",
        )
    if closed_form(answering.head) is None:
        return (
            None,
            f"layers of a network cannot express {name}: it does not answer together with the fine-tuned one",
        )
    there = start.validated
    own, codes = original.validated[there], start.codes(start.val[there])
    tuned = softmax(chosen.logits / chosen.temperature, axis=1)
    return choose_share(own, tuned, codes, ERRORS if len(start.trials) > 1 else 1.0), ""


def choose_share(
    own: np.ndarray, tuned: np.ndarray, codes: np.ndarray, errors: float = 1.0
) -> Mixture | None:
    """Choose the share with the lowest log-loss, if the mixture is `better` than either alone.

    Parameters
    ----------
    own, tuned : (v, C) float arrays
        Calibrated probabilities of pictures that neither was trained on.
    codes : (v,) int array
        Column of each picture's class, -1 for none.
    errors : float
        Standard errors by which the loss must be lower than that of each: one network is simpler than several.

    Returns
    -------
    Mixture or None
        Linear opinion pool (Stone 1961, Annals of Mathematical Statistics 32:1339): share * own + (1 - share) * tuned.
    """
    alone = _judge(own, codes), _judge(tuned, codes)
    mixed = [share * own + (1 - share) * tuned for share in SHARES]
    judged = [_judge(each, codes) for each in mixed]
    best = min(range(len(SHARES)), key=lambda place: judged[place].loss)
    if not all(better(judged[best], each, errors) for each in alone):
        return None
    return Mixture(SHARES[best], mixed[best], *alone, judged[best])


def _judge(probability: np.ndarray, codes: np.ndarray) -> Judgement:
    """Judge probabilities as they are: what answers is not calibrated once more."""
    known = np.flatnonzero(codes >= 0)
    own = -np.log(np.maximum(probability[known, codes[known]], _TINY))
    loss = float(own.mean()) if len(own) else float("nan")
    return Judgement(float((probability.argmax(axis=1) == codes).mean()), loss, loss, own)
