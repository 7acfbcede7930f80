"""model.keras with coldframe.json in it: written, and loaded in Keras' safe mode."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.storage import trusted
from cache.storage.files import write_file
from classify.models.layers import CLASSIFIER
from extract.backbones.external.hub_preset import from_hub, loadable, register
from extract.pictures.decoding import DECODERS, resizer_of
from extract.settings import Decoding

if TYPE_CHECKING:
    import keras

FORMAT = 1
FACTS = "coldframe.json"  # a member of the .keras file, which is a zip; Keras does not look at it
_DATE = (1980, 1, 1, 0, 0, 0)  # of the members: the same model gives the same bytes


def answering(model: keras.Model) -> keras.Model:
    """A copy of what answers in a model of `layers.mix`, behind the resizing: the same but for rounding, in less time.

    Where it computes in float32, normalisations are folded into the convolutions before them. What the model learns
    afterwards is not in it.
    """
    from extract.engines.folding import fold

    return fold(model.get_layer(CLASSIFIER))


def ask(classifier: keras.Model, squares: Sequence[np.ndarray]) -> np.ndarray:
    """Ask it for a batch, (B, s, s, 3) uint8 RGB of each square that it takes: (B, C) float32."""
    return np.asarray(
        classifier.predict_on_batch(squares[0] if len(squares) == 1 else list(squares)), np.float32
    )


@dataclass(frozen=True, eq=False)
class Artefact:
    """A model from `build_model`, or a head from `build_head`, and what is known of it."""

    model: keras.Model
    facts: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, C, in the order of the columns."""
        return tuple(self.facts["classes"])

    @property
    def asked(self) -> list[tuple[int, Decoding]]:
        """How pictures become each of the squares that it takes, by size and decoding, in their order.

        A model that does not say is older than the choice of a resizer.
        """
        each_of = [self.facts] if "input_size" in self.facts else self.facts["inputs"]
        found = [
            (
                int(each["input_size"]),
                Decoding(each["resize"], resizer=resizer_of(each.get("decoder", DECODERS["pillow"]))),
            )
            for each in each_of
        ]
        return list(dict.fromkeys(found))

    def probabilities(self, pixels: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """(n, h, w, 3) uint8 RGB to (n, C) float32."""
        if not len(pixels):
            return np.empty((0, len(self.classes)), np.float32)
        return np.asarray(self.model.predict(pixels, batch_size=batch_size, verbose=0), np.float32)


def save_model(model: keras.Model, path: Path, facts: dict[str, Any]) -> str:
    """Write a model as a .keras file that carries `facts` as a member `coldframe.json`, and note it as trusted.

    Parameters
    ----------
    model : keras.Model
    path : Path
        Ends in ".keras", or Keras would not load it.
    facts : dict
        JSON values; "classes" lists the class names.

    Returns
    -------
    sha256 : str
        Of the file, in hex.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder, "model.keras")
        model.save(saved)
        buffer = io.BytesIO()
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(buffer, "w") as archive:
            for name in source.namelist():
                data = source.read(name)
                if name == "metadata.json":
                    data = json.dumps(json.loads(data) | {"date_saved": ""}).encode()
                if name == "config.json" and from_hub(facts):
                    data = json.dumps(loadable(json.loads(data))).encode()
                archive.writestr(zipfile.ZipInfo(name, _DATE), data)
            described = json.dumps({"format": FORMAT, **facts}, indent=1, sort_keys=True)
            archive.writestr(zipfile.ZipInfo(FACTS, _DATE), described)
    write_file(path, buffer.getbuffer())
    sha256 = hashlib.sha256(buffer.getbuffer()).hexdigest()
    trusted.remember(sha256)
    return sha256


def load_model(path: Path) -> Artefact:
    """Load what `save_model` wrote, in Keras' safe mode, which is no proof against a crafted file.

    So a file from a run folder is asked about first: see `run_model.TunedRun`.

    Raises
    ------
    UserError
        For a file that is not there, not coldframe's, damaged, or of a newer format.
    """
    import keras

    try:
        with zipfile.ZipFile(path) as archive:
            if FACTS not in archive.namelist():
                raise UserError(
                    f"Expected a model that coldframe wrote in {path}, received a file without {FACTS}. "
                    "Load it with keras.models.load_model, or name a model.keras of a finetune run."
                )
            if damaged := archive.testzip():
                raise ValueError(f"its member {damaged} is damaged")
            facts = json.loads(archive.read(FACTS))
        if facts["format"] > FORMAT:
            raise UserError(
                f"Expected a model of format {FORMAT} or older in {path}, received {facts['format']}. "
                "Update coldframe."
            )
        if from_hub(facts):
            register()
        classes = list(map(str, facts["classes"]))
        model = keras.models.load_model(path, compile=False)
        if model.output_shape[-1] != len(classes):
            raise ValueError(f"{len(classes)} classes for {model.output_shape[-1]} outputs")
    except (OSError, zipfile.BadZipFile, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"Expected a model that coldframe wrote in {path}, but: {error}. Run the command that wrote it again."
        ) from error
    return Artefact(model, facts)
