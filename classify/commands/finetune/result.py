"""What a fine-tune came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.dataset import Embedded
from classify.commands.finetune.asked import Enlarged, Mirrored
from classify.commands.finetune.network.border import Border
from classify.metrics.comparison import Comparison
from classify.metrics.evaluation import Evaluation
from classify.training.history import History
from extract.backbones.backbone import Backbone
from extract.pictures.decoding import RejectedImage
from extract.pictures.files import load_row
from extract.settings import Decoding

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Tuned:
    """A network, its border, and what its pictures go through; `model` shares the variables of `network`."""

    backbone: Backbone
    decoding: Decoding
    network: keras.Model  # (B, s, s, 3) preprocessed to (B, h, w, c)
    border: Border
    model: keras.Model  # activations at the border to (B, C) logits
    view_size: int  # pixels a side of the pictures that train

    @property
    def activations(self) -> tuple[int, ...]:
        """Shape of what the border gives for a picture; there is one."""
        return tuple(map(int, self.network.get_layer(self.border.layer).output.shape[1:]))

    def exact_network(self) -> keras.Model:
        """The network with the weights it has now, in float32 whatever it was trained in."""
        return self.network if self.network.compute_dtype == "float32" else self._copy(self.backbone)

    def at(self, size: int) -> Tuned:
        """The same for pictures of a size; of another one its network is a copy in float32, with the weights of now.

        Raises
        ------
        UserError, ValueError
            Where there is no such network, or its weights are a matter of its size.
        """
        if size == self.backbone.input_size:
            return self
        backbone = self.backbone.at(size)
        return replace(self, backbone=backbone, network=self._copy(backbone))

    def _copy(self, backbone: Backbone) -> keras.Model:
        import keras

        from extract.backbones.network import build_backbone

        keras.config.set_dtype_policy("float32")
        network = build_backbone(backbone)
        network.set_weights(self.network.get_weights())
        return network

    def pixels(self, data: Embedded, row: int) -> np.ndarray | None:
        """Decode a picture of the data set again: (s, s, 3) uint8 RGB; None where that fails now."""
        try:
            return load_row(data.manifest, row, self.backbone.input_size, self.decoding)
        except RejectedImage:
            return None


@dataclass(frozen=True, eq=False)
class Chosen:
    """What the validating pictures chose: the epoch and the point in the history, and the temperature of the logits."""

    history: History
    temperature: float
    logits: np.ndarray  # (v, C) of the rows `Start.val`
    mirrored: Mirrored | None = None
    enlarged: Enlarged | None = None
    notes: Sequence[str] = ()  # why training ended early, what came of larger pictures and mirror images


@dataclass(frozen=True, eq=False)
class Result:
    """What training came to: the weights that were chosen, or those of all pictures that follow from the choice."""

    chosen: Chosen
    weights: Sequence[np.ndarray]
    stopped: str = ""  # why a training on all pictures ended too early
    again: bool = False  # whether these weights are of all pictures, those that validate among them


@dataclass(frozen=True)
class Beside:
    """The head of the run, where another was fitted in its place to start from: how it does on the same pictures."""

    name: str
    takes: tuple[str, ...]
    cv_accuracy: float
    refitted_cv_accuracy: float  # of the head in its place
    val_accuracy: float  # of such heads that did not train on the validating pictures
    test: Evaluation
    comparison: Comparison  # of what came out with it, on the test part

    def to_json(self) -> dict[str, Any]:
        """The figures as plain Python values."""
        return {
            "head": self.name,
            "takes": list(self.takes),
            "cv_accuracy": self.cv_accuracy,
            "refitted_cv_accuracy": self.refitted_cv_accuracy,
            "val_accuracy": self.val_accuracy,
            "test_accuracy": self.test.accuracy,
            "comparison": self.comparison.to_json(),
        }


@dataclass(frozen=True)
class Together:
    """The run's own head and the tuned network, where both answer: their shares sum to 1."""

    share: float  # of the run's own head
    val_accuracy: float
    tuned_val_accuracy: float  # of the tuned network by itself

    def to_json(self) -> dict[str, Any]:
        """The figures as plain Python values."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """The result: `before` is the head on the test part, `after` what was chosen; the same where alpha is 0.

    `original` is the run's own head, where the head was fitted in its place.
    """

    run: Path
    border: str
    trainable_parameters: int
    learning_rate: float  # the highest
    view_size: int  # pixels a side of the pictures that trained
    skipped: int  # pictures that most epochs did not train on
    history: History
    before: Evaluation
    after: Evaluation
    comparison: Comparison | None
    seconds_caching: float
    notes: list[str]
    original: Beside | None = None
    mixture: Together | None = None
    mirrored: Mirrored | None = None
    enlarged: Enlarged | None = None

    @property
    def beaten(self) -> bool:
        """Whether the run's own head does better on the validating pictures than what was chosen."""
        return self.original is not None and self.original.val_accuracy > self.chosen[1]

    @property
    def chosen(self) -> tuple[float, float]:
        """Accuracies of the head and of what was chosen on the validation part."""
        line = self.history.line
        after = next(p.val_accuracy for p in line if p.alpha == self.history.alpha)
        if self.enlarged:
            after = self.enlarged.val_accuracy
        if self.mirrored and self.mirrored.used:
            after = self.mirrored.val_accuracy
        return line[0].val_accuracy, self.mixture.val_accuracy if self.mixture else after

    @property
    def what(self) -> str:
        """What came out, where that is not the head."""
        return "the mixture" if self.mixture else "fine-tuned"

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        trained = self.history.epochs[1:]
        return {
            "run": str(self.run),
            "border": self.border,
            "trainable_parameters": self.trainable_parameters,
            "learning_rate": self.learning_rate,
            "view_size": self.view_size,
            "skipped": self.skipped,
            "head_val_accuracy": self.chosen[0],
            "alpha": self.history.alpha,
            "val_accuracy": self.chosen[1],
            "val_n": self.history.val_n,
            "head_test_accuracy": self.before.accuracy,
            "test_accuracy": self.after.accuracy,
            "test_n": self.after.n,
            "ci_low": self.after.ci_low,
            "ci_high": self.after.ci_high,
            "epochs": len(trained),
            "best_epoch": self.history.best,
            "folds": self.history.folds,
            "seconds_caching": round(self.seconds_caching, 3),
            "seconds_per_epoch": round(sum(e.seconds for e in trained) / max(len(trained), 1), 3),
            "comparison": self.comparison.to_json() if self.comparison else None,
            "original": self.original.to_json() if self.original else None,
            "mixture": self.mixture.to_json() if self.mixture else None,
            "mirrored": self.mirrored.to_json() if self.mirrored else None,
            "enlarged": self.enlarged.to_json() if self.enlarged else None,
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """Return the figures before and after, and where the run is."""
        head, rows = "head", list[tuple[str, float, Evaluation]]()
        if self.original:
            head = "fitted again"
            rows.append(("its own head", self.original.val_accuracy, self.original.test))
        rows.append((head, self.chosen[0], self.before))
        if self.history.alpha:
            rows.append((self.what, self.chosen[1], self.after))
        lines = [f"{'':12}{'validation':>12}{'test':>8}   95 % interval (n = {self.after.n})"]
        for name, val, test in rows:
            lines.append(
                f"{name:12}{val:>12.1%}{test.accuracy:>8.1%}   {test.ci_low:.1%} to {test.ci_high:.1%}"
            )
        if not self.history.alpha:
            lines.append("fine-tuning found nothing better: the head is kept unchanged")
        comparisons = self.comparison, self.original and self.original.comparison
        lines += [each.sentence() for each in comparisons if each]
        return "\n".join([*lines, f"run: {self.run} (start with report.html)"])
