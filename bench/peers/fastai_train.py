"""Train fastai's vision_learner, frozen, 3 epochs, its default augmentations; prints one JSON object.

    python bench/peers/fastai_train.py FOLDER

FOLDER holds train/ and val/, a folder per class in each.
"""

from __future__ import annotations

import json
import sys

from fastai.vision.all import set_seed
from fastai_lite0 import frozen_learner, varied_pictures

EPOCHS = 3


def main(folder: str) -> None:
    set_seed(0)
    dls = varied_pictures(folder)
    learner = frozen_learner(dls)
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(EPOCHS)
        loss, accuracy = learner.validate()
    print(json.dumps({"accuracy": accuracy, "loss": loss, "n_train": len(dls.train_ds), "n_valid": len(dls.valid_ds)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
