"""Train fastai's vision_learner, frozen, 3 epochs, its default augmentations; prints one JSON object.

    python bench/peers/fastai_train.py FOLDER

FOLDER holds train/ and val/, a folder per class in each.
"""

from __future__ import annotations

import json
import sys

from fastai.vision.all import ImageDataLoaders, Resize, aug_transforms, get_image_files, set_seed
from fastai_lite0 import NORMALISE, frozen_learner

SIDE_PX = 224
EPOCHS = 3
BATCH = 64  # fastai's default


def main(folder: str) -> None:
    set_seed(0)
    transforms = {"item_tfms": Resize(SIDE_PX), "batch_tfms": [*aug_transforms(size=SIDE_PX), NORMALISE]}
    # fastai drops the last, smaller batch: a trial with fewer pictures than one batch would train on none.
    batch = min(BATCH, len(get_image_files(f"{folder}/train")))
    dls = ImageDataLoaders.from_folder(folder, train="train", valid="val", bs=batch, **transforms)
    learner = frozen_learner(dls)
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(EPOCHS)
        loss, accuracy = learner.validate()
    print(json.dumps({"accuracy": accuracy, "loss": loss, "n_train": len(dls.train_ds), "n_valid": len(dls.valid_ds)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
