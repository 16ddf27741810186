"""fastai's get_preds over all pictures below a folder; prints one JSON object.

For its speed alone: the head is untrained.

    python bench/peers/fastai_predict.py FOLDER
"""

from __future__ import annotations

import json
import sys
import time

from fastai.vision.all import ImageDataLoaders, Resize, get_image_files
from fastai_lite0 import NORMALISE, SIDE_PX, frozen_learner


def main(folder: str) -> None:
    files = get_image_files(folder)
    labels = [file.parent.name for file in files]
    dls = ImageDataLoaders.from_lists(folder, files, labels, item_tfms=Resize(SIDE_PX), batch_tfms=[NORMALISE])
    learner = frozen_learner(dls)
    start = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        probabilities, _ = learner.get_preds(dl=dls.test_dl(files))  # (N, K)
    print(json.dumps({"n": len(probabilities), "loop_s": time.perf_counter() - start}))


if __name__ == "__main__":
    main(*sys.argv[1:])
