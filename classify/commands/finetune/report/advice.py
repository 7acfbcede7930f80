"""What to try after a fine-tune: sentences that follow from its history."""

from __future__ import annotations

from math import isfinite

from classify.metrics.intervals import wilson
from classify.training.history import History, Interpolation

APART = 0.05  # of accuracy, between training and validation
FEW = 300  # validation pictures; at 95 % right their interval is 5 points wide


def chosen(history: History) -> Interpolation:
    """Return the point of the line that was kept."""
    return min(history.line, key=lambda point: abs(point.alpha - history.alpha))


def advice(history: History) -> list[str]:
    """Say what the curves suggest, the most telling first; each sentence names the option to turn."""
    found = []
    epochs = history.epochs
    head, trained, last = epochs[0], epochs[1:], epochs[-1]
    best = next(epoch for epoch in epochs if epoch.number == history.best)
    low = float(wilson(head.val_accuracy * history.val_n, history.val_n)[0])
    if any(not isfinite(epoch.val_loss) for epoch in trained):
        found.append("The loss ran away: try a tenth of the learning rate (--lr).")
    elif trained and trained[0].val_accuracy < low:
        found.append(
            f"The first epoch cost more than chance explains ({head.val_accuracy:.1%} to "
            f"{trained[0].val_accuracy:.1%} on the validation part): try a third of the learning rate (--lr)."
        )
    elif trained and not history.alpha:
        found.append("Try a third of the learning rate (--lr), so that the first steps stay near the head.")
    if history.alpha and best is last:
        found.append("The last epoch was the best: try more of them (--epochs).")
    if trained and best.number and best.accuracy - best.val_accuracy > APART:
        found.append(
            f"The network knows its training pictures better than new ones ({best.accuracy:.1%} against "
            f"{best.val_accuracy:.1%}): try stronger augmentation (--augment strong, more --views), fewer trained "
            "layers (a smaller --top), or more pictures."
        )
    elif trained and last.val_accuracy - last.accuracy > APART:
        found.append(
            f"Training pictures were harder than validation pictures to the end ({last.accuracy:.1%} against "
            f"{last.val_accuracy:.1%}): try milder augmentation (--augment flip), or more --epochs."
        )
    elif history.alpha:
        found.append("Try to train more layers (a larger --top).")
    if 0 < history.alpha < 1:
        found.append(
            "A mixture was better than the fine-tuned weights themselves, so they went further than they "
            "should: a smaller --lr or --layer-decay 0.9 may do without it."
        )
    if history.val_n < FEW:
        low, high = (float(end) for end in wilson(head.val_accuracy * history.val_n, history.val_n))
        found.append(
            f"{history.val_n:,} validation pictures choose with little certainty (the head's interval there is "
            f"{100 * (high - low):.0f} points wide): label more pictures."
        )
    found.append("Try another --seed: it shows how much of the difference is luck.")
    return found
