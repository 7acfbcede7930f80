"""How fast a model.keras answers: asked as a whole, behind its resizing, and with its normalisations folded.

`python benchmarks/answers.py [--turns 5]`

All ways are given the same squares of noise, 224 pixels a side, in turns in one process; times are medians over the
turns. The whole model resizes squares of its own size, too.
"""

import argparse
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
PICTURES = 128


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns

    from extract.machine import import_keras_quietly

    import_keras_quietly()
    from classify.models.layers import CLASSIFIER, build_model
    from classify.models.linear import LinearHead
    from classify.models.model_file import answering
    from classify.models.probabilities import CHUNK
    from extract.backbones.backbone import Backbone
    from extract.settings import Decoding

    random = np.random.default_rng(0)
    kernel = random.normal(size=(1280, 5)).astype(np.float32) / 10
    head = LinearHead("none", kernel, np.zeros(5, np.float32), tuple("abcde"))
    backbone = Backbone.of("efficientnet_lite0", input_size=224, pooling="avg")
    model = build_model(backbone, Decoding(), head)
    began = time.perf_counter()
    folded = answering(model)
    print(f"to fold: {time.perf_counter() - began:.2f} s, once")
    ways = {
        "the whole model, 64 at a time": partial(answer, model, 64),
        "the whole model, 32 at a time": partial(answer, model, 32),
        f"behind the resizing, {CHUNK} at a time": partial(answer, model.get_layer(CLASSIFIER), CHUNK),
        "folded, 32 at a time": partial(answer, folded, 32),
        f"folded, {CHUNK} at a time": partial(answer, folded, CHUNK),
    }
    pixels = random.integers(0, 256, (PICTURES, 224, 224, 3), np.uint8)
    answers = [way(pixels) for way in ways.values()]  # graphs are laid out
    seconds = {name: list[tuple[float, float]]() for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            clock, processor = time.perf_counter(), time.process_time()
            way(pixels)
            seconds[name].append((time.perf_counter() - clock, time.process_time() - processor))
    print(f"n = {PICTURES}, {turns} turns; ms a picture by the clock and of processor time, times as fast")
    first = None
    for (name, each), found in zip(seconds.items(), answers, strict=True):
        clock, processor = (statistics.median(times) / PICTURES * 1e3 for times in zip(*each, strict=True))
        first = first or clock
        off = np.abs(found - answers[0]).max()
        print(
            f"{name:36}{clock:7.1f}{processor:7.1f}{first / clock:7.2f} x, probabilities differ by {off:.0e} at most"
        )


def answer(model: Any, at_once: int, pixels: np.ndarray) -> np.ndarray:
    """(n, s, s, 3) to (n, C)."""
    parts = [model.predict_on_batch(pixels[at : at + at_once]) for at in range(0, len(pixels), at_once)]
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
