"""Copies by imagededup: python copies_imagededup.py phash|dhash|cnn|speed FOLDER -> JSON on stdout.

{"pairs": [[name, name, score]], "seconds"}; the score is bits for the hashes and a cosine for the network. `speed` hashes only,
and tells {"n", "seconds", "cpu_seconds"}, the latter of its worker processes too.
The network is EfficientNet-Lite0, which Tellapart uses too: imagededup would download MobileNetV3.
"""

import json
import os
import sys
import time

import timm
from imagededup.methods import CNN, DHash, PHash
from imagededup.utils import CustomModel
from lite0 import MEAN, STD, lite0

LOOSEST = {"phash": 16, "dhash": 16, "cnn": 0.8}


def main() -> None:
    method, folder = sys.argv[1:]
    start, cpu_start = time.perf_counter(), sum(os.times()[:4])
    if method == "speed":
        encodings = PHash(verbose=False).encode_images(folder, recursive=True)
        seconds, cpu_seconds = time.perf_counter() - start, sum(os.times()[:4]) - cpu_start
        print(json.dumps({"n": len(encodings), "seconds": seconds, "cpu_seconds": cpu_seconds}))
        return
    finder = {"phash": PHash, "dhash": DHash, "cnn": network}[method](verbose=False)
    threshold = "min_similarity_threshold" if method == "cnn" else "max_distance_threshold"
    found = finder.find_duplicates(image_dir=folder, recursive=True, scores=True, **{threshold: LOOSEST[method]})
    pairs = {tuple(sorted((name, other))): float(score) for name, others in found.items() for other, score in others}
    print(json.dumps({"pairs": [[*pair, score] for pair, score in pairs.items()], "seconds": time.perf_counter() - start}))


def network(verbose: bool) -> CNN:
    model = lite0()
    model.reset_classifier(0)  # leaves the pooled features
    transform = timm.data.create_transform(224, mean=MEAN, std=STD, interpolation="bicubic", crop_pct=0.875)
    return CNN(verbose=verbose, model_config=CustomModel("lite0", model, transform))


if __name__ == "__main__":
    main()
