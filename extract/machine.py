"""Start Keras, TensorFlow and LiteRT without what they print while they start."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator


def import_keras_quietly() -> None:
    """Import Keras and its backend before anything else does, without what they print while they start."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it wonders at batches of two sizes
    with quiet_stderr():
        import keras  # noqa: F401


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hide what LiteRT's and TensorFlow's C++ sides print while they start; there is no setting for it."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
