"""The four classic tutorials in plain Keras, as their authors wrote them, on a backbone whose weights are here.

`python benchmarks/tutorials.py NAME FOLDER --size 128` trains one of them on FOLDER/train, stops by FOLDER/validation
where the tutorial does, and judges it once on FOLDER/test; it prints one JSON object. `benchmarks/recipes.py` makes
the folders and calls it. What is the tutorials' own stays as it was: random heads, optimizers, what is unfrozen. In
place of ResNet50, InceptionV3 and MobileNetV2 stands efficientnet_lite0. Its pixels are scaled as it was trained where
the tutorial does so for its own network, and by 1/255 in both of ResNet50, which do so although it wants another scale.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

BATCH = 32


@dataclass(frozen=True)
class Tutorial:
    """What a tutorial does; `scale` and `offset` are what it does to pixels of 0 to 255."""

    scale: float
    offset: float
    head: Callable[[Any, Any, int], Any]  # (keras, feature maps, classes) to probabilities
    optimizer: Callable[[Any], Any]
    epochs: int  # with the backbone frozen
    unfreeze: Callable[[list], list]  # layers of the backbone to those that train later
    tuner: Callable[[Any], Any] | None  # optimizer then; None: the tutorial ends with the frozen backbone
    augment: dict | None = None  # of ImageDataGenerator
    colours: bool = False  # tf.image's flip, contrast, brightness, hue and saturation
    patience: int | None = None
    tuned_epochs: int = 10


def dense_1024(keras: Any, maps: Any, classes: int) -> Any:
    x = keras.layers.GlobalAveragePooling2D()(maps)
    x = keras.layers.Dense(1024, activation="relu")(x)
    return keras.layers.Dense(classes, activation="softmax")(x)


def flatten_1024(keras: Any, maps: Any, classes: int) -> Any:
    x = keras.layers.GlobalAveragePooling2D()(maps)  # the TF-Hub module ends so
    x = keras.layers.Dense(1024, activation="relu")(keras.layers.Flatten()(x))
    return keras.layers.Dense(classes, activation="softmax")(x)


def pooled(keras: Any, maps: Any, classes: int) -> Any:
    return keras.layers.Dense(classes, activation="softmax")(keras.layers.GlobalAveragePooling2D()(maps))


def normalised_mlp(keras: Any, maps: Any, classes: int) -> Any:
    x = keras.layers.BatchNormalization()(keras.layers.Flatten()(maps))
    for units in (2048, 1024):
        x = keras.layers.BatchNormalization()(keras.layers.Dense(units, activation="relu")(x))
    return keras.layers.Dense(classes, activation="softmax")(x)


TUTORIALS = {
    "resnet50-dense": Tutorial(
        1 / 255,
        0.0,
        dense_1024,
        lambda keras: keras.optimizers.RMSprop(),
        10,
        lambda layers: layers[-50:],
        lambda keras: keras.optimizers.SGD(1e-4, momentum=0.9),
        augment={"shear_range": 0.2, "zoom_range": 0.2, "horizontal_flip": True},
    ),
    "hub-inception": Tutorial(
        1 / 127.5,  # the module wants 0 to 1 and gets it; the stand-in wants -1 to 1
        -1.0,
        flatten_1024,
        lambda keras: keras.optimizers.Adam(),
        10,
        lambda layers: layers,
        lambda keras: keras.optimizers.Adam(1e-5),
        tuned_epochs=5,
    ),
    "mobilenet-flowers": Tutorial(
        1 / 127.5,
        -1.0,
        pooled,
        lambda keras: keras.optimizers.RMSprop(1e-4),
        10,
        lambda layers: layers[129:],
        lambda keras: keras.optimizers.RMSprop(1e-4),
        colours=True,
        patience=5,
    ),
    "resnet50-mlp": Tutorial(
        1 / 255,
        0.0,
        normalised_mlp,
        lambda keras: keras.optimizers.Adam(),
        30,
        lambda layers: [],
        None,
        augment={
            "rotation_range": 40,
            "width_shift_range": 0.4,
            "height_shift_range": 0.4,
            "shear_range": 0.2,
            "zoom_range": 0.3,
            "horizontal_flip": True,
        },
    ),
}


def run(name: str, folder: Path, size: int, epochs: int | None) -> dict:
    """Train and judge one tutorial; seconds are those of the training alone."""
    import keras
    import numpy as np

    from extract.backbones.backbone import Backbone
    from extract.backbones.network import build_backbone

    tutorial = TUTORIALS[name]
    keras.utils.set_random_seed(0)
    train, validation, test = (_pictures(folder / part, size) for part in ("train", "validation", "test"))
    classes = train[1].shape[1]
    network = build_backbone(Backbone.of(input_size=size))
    pixels = keras.Input((size, size, 3))
    # The tutorial of MobileNetV2 adds training=False here. Keras 3 overrides that in `fit` (seen with 3.15), so in
    # all of them the BatchNormalization layers that are unfrozen go by the statistics of their batch.
    maps = network(keras.layers.Rescaling(tutorial.scale, tutorial.offset)(pixels))
    model = keras.Model(pixels, tutorial.head(keras, maps, classes))
    stop = []
    if tutorial.patience:
        stop = [keras.callbacks.EarlyStopping(patience=tutorial.patience, restore_best_weights=True)]
    result, last = {"name": name, "n": len(test[0]), "validation_n": len(validation[0])}, 0.0
    for act, optimizer in (("frozen", tutorial.optimizer), ("tuned", tutorial.tuner)):
        if optimizer is None:
            continue
        layers = tutorial.unfreeze(network.layers) if act == "tuned" else []
        for layer in network.layers:
            layer.trainable = layer in layers
        model.compile(optimizer(keras), "categorical_crossentropy", metrics=["accuracy"])
        began = time.monotonic()
        history = model.fit(
            _batches(train, tutorial),
            epochs=epochs or (tutorial.epochs if act == "frozen" else tutorial.tuned_epochs),
            validation_data=validation,
            callbacks=stop,
            verbose=0,
        )
        last += time.monotonic() - began
        answers = model.predict(test[0], verbose=0).argmax(axis=1)
        result[act] = {
            "right": int((answers == test[1].argmax(axis=1)).sum()),
            "seconds": round(last, 1),
            "epochs": len(history.history["loss"]),
            "seconds_per_epoch": round((time.monotonic() - began) / len(history.history["loss"]), 1),
            "validation_accuracy": float(np.max(history.history["val_accuracy"])),
        }
    return result


def _pictures(folder: Path, size: int) -> tuple[Any, Any]:
    """(n, s, s, 3) float32 of 0..255 and one-hot classes, resized as the tutorials do: squashed."""
    import keras
    import numpy as np

    data = keras.utils.image_dataset_from_directory(
        folder,
        image_size=(size, size),
        batch_size=None,
        label_mode="categorical",
        shuffle=False,
        verbose=False,
    )
    pixels, classes = zip(*data.as_numpy_iterator(), strict=True)
    return np.stack(pixels), np.stack(classes)


def _batches(train: tuple[Any, Any], tutorial: Tutorial) -> Any:
    import tensorflow as tf

    if tutorial.augment is not None:
        generator = tf.keras.preprocessing.image.ImageDataGenerator(**tutorial.augment)
        return generator.flow(*train, batch_size=BATCH, seed=0)
    data = tf.data.Dataset.from_tensor_slices(train).shuffle(len(train[0]), seed=0)
    if tutorial.colours:
        data = data.map(lambda x, y: (_recoloured(tf, x), y), num_parallel_calls=2)
    return data.batch(BATCH).prefetch(2)


def _recoloured(tf: Any, x: Any) -> Any:
    x = tf.image.random_flip_left_right(x / 255)
    x = tf.image.random_contrast(x, 0.5, 1.5)
    x = tf.image.random_brightness(x, 0.2)
    x = tf.image.random_hue(x, 0.1)
    x = tf.image.random_saturation(x, 0.5, 1.5)
    return tf.clip_by_value(x, 0, 1) * 255


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=TUTORIALS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--epochs", type=int, help="of each part (default: the tutorial's)")
    options = parser.parse_args()
    print(json.dumps(run(options.name, options.folder, options.size, options.epochs)))
