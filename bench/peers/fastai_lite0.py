"""fastai's vision_learner on the same backbone weights that Tellapart uses."""

from __future__ import annotations

from fastai.vision.all import (
    DataLoaders,
    ImageDataLoaders,
    Learner,
    Normalize,
    Resize,
    accuracy,
    aug_transforms,
    get_image_files,
    vision_learner,
)
from lite0 import MEAN, NAME, STD, lite0

NORMALISE = Normalize.from_stats(MEAN, STD)
SIDE_PX = 224
BATCH = 64  # fastai's default


def varied_pictures(folder: str) -> DataLoaders:
    """What lies below FOLDER/train and FOLDER/val, with fastai's default augmentations."""
    transforms = {"item_tfms": Resize(SIDE_PX), "batch_tfms": [*aug_transforms(size=SIDE_PX), NORMALISE]}
    # fastai drops the last, smaller batch: a trial with fewer pictures than one batch would train on none.
    batch = min(BATCH, len(get_image_files(f"{folder}/train")))
    return ImageDataLoaders.from_folder(folder, train="train", valid="val", bs=batch, **transforms)


def frozen_learner(dls: DataLoaders) -> Learner:
    """What `vision_learner(dls, "tf_efficientnet_lite0")` makes, frozen, with the weights from the package's file."""
    learner = vision_learner(dls, NAME, pretrained=False, metrics=accuracy)  # pretrained would download others
    left_out = learner.model[0].model.load_state_dict(lite0().state_dict(), strict=False)
    if left_out.missing_keys or set(left_out.unexpected_keys) != {"classifier.weight", "classifier.bias"}:
        raise RuntimeError(f"the weights do not fit fastai's body: {left_out}")
    learner.freeze()
    return learner
