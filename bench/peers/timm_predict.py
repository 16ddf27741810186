"""A plain timm loop in eager float32 over all pictures below a folder, with the head of one of Tellapart's runs.

    python bench/peers/timm_predict.py FOLDER BUNDLE PREDICTIONS.csv      # BUNDLE: holds head.safetensors, manifest.json

Writes path and label of each picture; prints one JSON object.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path

import torch
from lite0 import MEAN, STD, lite0
from our_head import LinearHead, features
from PIL import Image
from timm.data import create_transform
from torch.utils.data import DataLoader, Dataset

SIDE_PX = 224
CROP_FRAC = 0.875
BATCH = 64
WORKERS = 2


class Pictures(Dataset):
    """The pictures as timm prepares them for this model."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.transform = create_transform((3, SIDE_PX, SIDE_PX), interpolation="bicubic", mean=MEAN, std=STD, crop_pct=CROP_FRAC)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[row]).convert("RGB"))  # (3, 224, 224)


@torch.inference_mode()
def predict(paths: list[Path], head: LinearHead) -> list[str]:
    """The most probable label of each picture."""
    model, labels = lite0(), []
    for pictures in DataLoader(Pictures(paths), BATCH, num_workers=WORKERS):
        best = head(features(model, pictures)).argmax(1)
        labels += [head.classes[index] for index in best.tolist()]
    return labels


def main(folder: str, bundle: str, out: str) -> None:
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    start = time.perf_counter()
    labels = predict(paths, LinearHead.load(Path(bundle)))
    loop_s = time.perf_counter() - start
    with open(out, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label"))
        writer.writerows(zip(paths, labels, strict=True))
    print(json.dumps({"n": len(paths), "loop_s": loop_s}))


if __name__ == "__main__":
    main(*sys.argv[1:])
