from math import inf, nan

import pytest

from classify.commands.finetune.report.advice import advice, chosen
from classify.training.history import Epoch, History, Interpolation


def history(
    *points: tuple[float, float, float], best: int = 1, alpha: float = 1.0, val_n: int = 400
) -> History:
    """Epochs as (accuracy, validation accuracy, validation loss) after a head of 90 %."""
    epochs = [Epoch(0, nan, nan, 0.3, 0.9, 0.0, 1.0)]
    epochs += [Epoch(i, 0.1, a, loss, val, 1e-4, 1.0) for i, (a, val, loss) in enumerate(points, 1)]
    line = [Interpolation(a, 0.9, 0.3, 0.3) for a in (0.0, 0.30000000000000004, 1.0)]
    return History(epochs, best, line, alpha, val_n)


GOOD = (0.92, 0.92, 0.2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (history(GOOD, (0.1, 0.2, inf)), "ran away"),
        (history((0.8, 0.8, 0.5), GOOD, GOOD, best=2), "cost more than chance explains (90.0% to 80.0%"),
        (history((0.9, 0.9, 0.4), best=0, alpha=0.0), "Try a third of the learning rate (--lr), so that"),
        (history(GOOD), "The last epoch was the best"),
        (history((0.99, 0.92, 0.2), GOOD), "better than new ones (99.0% against 92.0%)"),
        (
            history(GOOD, (0.80, 0.92, 0.25)),
            "harder than validation pictures to the end (80.0% against 92.0%)",
        ),
        (history(GOOD, GOOD), "a larger --top"),
        (history(GOOD, GOOD, alpha=0.3), "A mixture was better"),
        (
            history(GOOD, val_n=100),
            "100 validation pictures choose with little certainty (the head's interval",
        ),
    ],
)
def test_each_shape_of_the_curves_has_its_sentence(given: History, said: str) -> None:
    assert any(said in sentence for sentence in advice(given))


def test_a_sound_run_gets_no_warnings() -> None:
    assert advice(history(GOOD, GOOD)) == [
        "Try to train more layers (a larger --top).",
        "Try another --seed: it shows how much of the difference is luck.",
    ]


def test_the_chosen_point_is_found_though_tenths_are_not_exact() -> None:
    assert chosen(history(GOOD, alpha=0.3)).alpha == 0.30000000000000004
