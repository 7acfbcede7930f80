"""Pictures of a folder as plain Keras feeds them to a network, whatever Keras runs on."""

import random
from pathlib import Path
from typing import Any

import numpy as np


def pictures_as_keras_does(folder: Path, batch: int, workers: int, shuffle: bool = False) -> Any:
    """Make a data set of (B, 224, 224, 3) float32 pictures and (B, C) one-hot labels, with its `class_names`.

    On TensorFlow it is `image_dataset_from_directory`; elsewhere a `PyDataset`, whose `workers` threads read with
    `load_img`.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return _threaded(folder, batch, workers, shuffle)
    data = keras.utils.image_dataset_from_directory(
        folder,
        image_size=(224, 224),
        batch_size=batch,
        label_mode="categorical",
        crop_to_aspect_ratio=True,
        shuffle=shuffle,
        seed=0,
        verbose=False,
    )
    names, data = data.class_names, data.prefetch(2)
    data.class_names = names
    return data


def _threaded(folder: Path, batch: int, workers: int, shuffle: bool) -> Any:
    import keras

    class Pictures(keras.utils.PyDataset):
        class_names = sorted(path.name for path in folder.iterdir() if path.is_dir())
        paths = sorted(path for name in class_names for path in (folder / name).iterdir())

        def __len__(self) -> int:
            return -(-len(self.paths) // batch)

        def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
            paths = self.paths[number * batch : (number + 1) * batch]
            codes = [self.class_names.index(path.parent.name) for path in paths]
            return np.stack([_read(path) for path in paths]), np.eye(len(self.class_names), dtype=np.float32)[
                codes
            ]

        def on_epoch_end(self) -> None:
            if shuffle:
                random.shuffle(self.paths)

    return Pictures(workers=workers, max_queue_size=2 * workers)


def _read(path: Path) -> np.ndarray:
    import keras

    picture = keras.utils.load_img(
        path, target_size=(224, 224), interpolation="bilinear", keep_aspect_ratio=True
    )
    return keras.utils.img_to_array(picture)
