"""Keras callbacks of the user's own, told of a training as `Model.fit` tells them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cache.errors import UserError
from classify.heads.users_code import made_by, users_code
from classify.training.settings import Settings

OPTION = "--callback"
_MADE = "Keras callbacks from {}"
_GO_ON = (
    "Mend it there: the epochs that are finished are kept, and `finetune --resume` goes on after the last."
)


class Callbacks:
    """Callbacks by name, told one after the other.

    They hear `on_train_begin`, `on_epoch_begin`, `on_train_batch_begin`, `on_train_batch_end`, `on_epoch_end` and
    `on_train_end`, with Keras' numbers (the first epoch is 0) and `logs`; `model` and `params` are set before. One
    that sets `model.stop_training` ends the training.

    Parameters
    ----------
    named : sequence of (str, keras.callbacks.Callback)
        The names say whose code failed: they have a colon.
    """

    def __init__(self, named: Sequence[tuple[str, Any]] = ()) -> None:
        self._named = named
        self._model: Any = None
        self.stopped = ""  # by whom

    @classmethod
    def made(cls, given: Iterable[Any], settings: Settings) -> Callbacks:
        """Make callbacks of ``module:factory`` names and of callbacks themselves; imports Keras.

        A factory is called without arguments, or with the settings where it asks for one; it returns a callback or a
        list of them.

        Raises
        ------
        UserError
            When there is no such module or factory, it raises anything, or something is no callback.
        """
        import keras

        named = list[tuple[str, Any]]()
        for each in given:
            name = each if isinstance(each, str) else f"{type(each).__module__}:{type(each).__qualname__}"
            found = made_by(each, OPTION, _MADE, settings) if isinstance(each, str) else each
            listed = found if isinstance(found, list | tuple) else [found]
            for callback in listed:
                if not isinstance(callback, keras.callbacks.Callback):
                    raise UserError(
                        f"Expected {_MADE.format(name)}: a keras.callbacks.Callback or a list of them, received "
                        f"{type(callback).__name__}."
                    )
                named.append((name, callback))
        return cls(named)

    @property
    def names(self) -> list[str]:
        """Whose they are, each once."""
        return list(dict.fromkeys(name for name, _ in self._named))

    def begin(self, model: Any, epochs: int, steps: int) -> None:
        """Introduce the model, and tell that its training begins."""
        self._model, self.stopped = model, ""
        model.stop_training = False
        self.tell("set_params", {"verbose": 0, "epochs": epochs, "steps": steps})
        self.tell("set_model", model)
        self.tell("on_train_begin", {})

    def tell(self, event: str, *facts: Any) -> None:
        """Call the method `event` of each, all with the same `logs`; UserError where one raises anything."""
        for name, callback in self._named:
            with users_code(name, f"the callback {{}} to come through {event}", _GO_ON):
                getattr(callback, event)(*facts)
            if self._model.stop_training and not self.stopped:
                self.stopped = name
