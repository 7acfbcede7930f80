"""The words of the reports, each in a sentence or two: once, for the end of every report and for the guide."""

from __future__ import annotations

import re

HEADING = "Words"
TERMS = {
    "95 % interval": "Wilson's interval: the true values that agree with what was seen. It covers the chance of which "
    "pictures were drawn, and nothing else.",
    "activations": "What the frozen lower layers of a network make of a picture. They are kept in the cache, so that "
    "an epoch has to run the layers above the border only.",
    "alpha": "Of a fine-tune: how far the kept weights are from the head's (0) to the fine-tuned ones (1). Of the "
    "head `ridge`: how strongly large coefficients are held back.",
    "backbone": "A network that was trained before, on very many pictures. It turns each of yours into numbers, its "
    "embedding.",
    "balanced accuracy": "The mean recall of the classes: small classes count as much as large ones.",
    "border": "Where `finetune` cuts the network. Layers below it are frozen and run once for each picture; the "
    "layers that train lie above.",
    "Brier": "The Brier score: how far the probabilities are from the truth, squared and summed over the classes. 0 "
    "is best, 2 worst.",
    "calibrated loss": "The log-loss after one temperature was fitted. A model that is right, but too sure of "
    "everything, is not punished by it.",
    "calibration error": "By how much confidence and accuracy differ on average: of answers given with 80 %, 80 % "
    "should be right.",
    "CV accuracy": "Cross-validated accuracy: each training picture is answered by a model that was fitted on the "
    "other folds. Heads and settings are chosen by it.",
    "embedding": "The numbers by which a backbone describes a picture, 2,048 with the default one. Heads see nothing "
    "else of it.",
    "epoch": "One pass over all training pictures.",
    "F1": "The harmonic mean of precision and recall. Macro-F1 is its mean over the classes, small ones counting as "
    "much as large ones.",
    "fold": "One of several equal pieces of the training part. Each in turn is held out, and answered by a model "
    "fitted on the others.",
    "hand-off": "The moment before the first step of a fine-tune. The network with the head on it must give the very "
    "answers that the head gives to the cached embeddings.",
    "head": "The classifier that answers: from an embedding to a probability for each class. It is small, and trained "
    "in seconds.",
    "log-loss": "How good the probabilities are, in nats: minus the logarithm of the one given to the true class, on "
    "average. Smaller is better.",
    "near copy": "A picture that shows the same as another one, but for its size, compression or light. Near copies "
    "stay in one part, since a copy of a training picture tests nothing.",
    "one standard error": "How much a figure varies by chance alone. A gain that is not above it may be none; of two "
    "heads that differ by less, the simpler one is probably as good.",
    "out of fold": "Answered by a model of cross-validation that had not trained on the picture.",
    "policy": "What an augmented view may change: left and right, crop, colour, and how much of each.",
    "precision": "Of the pictures that were given a class, the share that is of it.",
    "reading": "One look at the figures of the test part. Each is logged, because figures that choices were made by "
    "are no longer those of unseen data.",
    "recall": "Of the pictures of a class, the share that was recognised.",
    "space": "Everything that decides what an embedding is: backbone, weights, pixels, cropping, precision. Only rows "
    "of one space can be compared.",
    "temperature": "One number that all scores of a head are divided by, so that its probabilities are right on "
    "average. It changes no answer.",
    "test part": "Pictures that nothing is trained on or chosen by. They stand for pictures that are still to come.",
    "tie": "A difference that chance alone may have made. It does not show that both are equal.",
    "training part": "The pictures that models are fitted on.",
    "validation": "Pictures that choose among models, epochs and mixtures. What is chosen looks a little better on "
    "them than it is.",
    "view": "A picture, changed at random by a policy, but always in the same way: mirrored, cropped, brightened. The "
    "plain picture is not one of its views.",
}


def words_of(text: str) -> dict[str, str]:
    """The terms that occur in a text, and what they mean."""
    return {term: meaning for term, meaning in TERMS.items() if re.search(_pattern(term), text, re.I)}


def with_words(page: str) -> str:
    """Add to a page in Markdown the words that it uses, and a link to them below its title."""
    title, _, rest = page.partition("\n")
    words = "\n".join(f"- **{term}**: {meaning}" for term, meaning in words_of(page).items())
    pointer = f"The words on this page are explained [at its end](#{HEADING.lower()})."
    return f"{title}\n\n{pointer}\n{rest.rstrip()}\n\n## {HEADING}\n\n{words}\n"


def _pattern(term: str) -> str:
    stem = re.escape(term.removesuffix("y"))
    ending = "(?:y|ies)" if term.endswith("y") else "s?"
    return rf"\b(?<!cross-){stem}{ending}\b"
