"""Train the Fashion-MNIST tutorials' CNN in Keras; prints one JSON object with the seconds of each epoch and the test accuracy.

    KERAS_BACKEND=tensorflow python bench/peers/keras_tutorial.py FOLDER [SEED] [LIMIT]

FOLDER holds the four IDX files. KERAS_BACKEND may be jax too. Nothing is judged on between epochs, so that an epoch's seconds
are training alone. All else is Keras' default.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
from fashion_pictures import BATCH, EPOCHS, test_part, training_part


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch; the first also traces and compiles."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.seconds.append(time.perf_counter() - self.start)


def as_inputs(pictures: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 28, 28, 1) float32 of 0 to 1, and (N,) int32."""
    return pictures[..., None].astype(np.float32) / 255, labels.astype(np.int32)


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


def main(folder: str, seed: str = "0", limit: str | None = None) -> None:
    keras.utils.set_random_seed(int(seed))
    most = int(limit) if limit else None
    training = as_inputs(*training_part(Path(folder), seed=int(seed), limit=most))
    judged = as_inputs(*test_part(Path(folder), limit=most))
    clock, model = Clock(), tutorial_cnn()
    model.fit(*training, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[clock])
    _, accuracy = model.evaluate(*judged, batch_size=BATCH, verbose=0)
    facts = {"backend": keras.backend.backend(), "n_train": len(training[0]), "n_judged": len(judged[0])}
    print(json.dumps({"epoch_s": clock.seconds, "accuracy": accuracy, **facts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
