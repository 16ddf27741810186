"""Train the Fashion-MNIST tutorials' CNN in Keras; prints one JSON object with the seconds of each epoch and the test accuracy.

    KERAS_BACKEND=tensorflow python bench/peers/keras_tutorial.py FOLDER [EPOCHS]

FOLDER holds the four IDX files. Needs keras and tensorflow-cpu, or jax. All training pictures are learned from and none is
judged on between epochs, so that an epoch's seconds are training alone.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np

BATCH = 256


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch; the first also traces and compiles."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.seconds.append(time.perf_counter() - self.start)


def read_idx(path: Path, *, n_header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=n_header)


def read_part(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, 28, 28, 1) float32 of 0 to 1, and (N,) labels."""
    pictures = read_idx(folder / f"{name}-images-idx3-ubyte.gz", n_header=16).reshape(-1, 28, 28, 1)
    return pictures.astype(np.float32) / 255, read_idx(folder / f"{name}-labels-idx1-ubyte.gz", n_header=8).astype(np.int32)


def tutorial_cnn() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.BatchNormalization(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(folder: str, epochs: str = "5") -> None:
    keras.utils.set_random_seed(0)
    clock, model = Clock(), tutorial_cnn()
    model.fit(*read_part(Path(folder), "train"), batch_size=BATCH, epochs=int(epochs), verbose=0, callbacks=[clock])
    _, accuracy = model.evaluate(*read_part(Path(folder), "t10k"), batch_size=BATCH, verbose=0)
    facts = {"backend": keras.backend.backend(), "keras": keras.__version__}
    print(json.dumps({"epoch_s": [round(value, 2) for value in clock.seconds], "accuracy": accuracy, **facts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
