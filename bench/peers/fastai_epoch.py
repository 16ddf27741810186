"""One epoch of fastai's vision_learner, unfrozen, its default augmentations; prints one JSON object with its seconds.

    python bench/peers/fastai_epoch.py FOLDER

FOLDER holds train/ and val/, a folder per class in each.
"""

from __future__ import annotations

import json
import sys
import time

from fastai.vision.all import Callback, set_seed
from fastai_lite0 import frozen_learner, varied_pictures


class Clock(Callback):
    """Seconds of an epoch: of its training part, and with its validation."""

    def before_train(self) -> None:
        self.start = time.perf_counter()

    def after_train(self) -> None:
        self.train_s = time.perf_counter() - self.start

    def after_validate(self) -> None:
        self.epoch_s = time.perf_counter() - self.start


def main(folder: str) -> None:
    set_seed(0)
    dls = varied_pictures(folder)
    learner, clock = frozen_learner(dls), Clock()
    learner.unfreeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(1, cbs=[clock])
    n_train = len(dls.train) * dls.train.bs  # the last, smaller batch is dropped
    print(json.dumps({"train_s": clock.train_s, "epoch_s": clock.epoch_s, "n_train": n_train, "n_valid": len(dls.valid_ds)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
