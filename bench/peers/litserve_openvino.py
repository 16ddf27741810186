"""LitServe with the network that Tellapart serves, through OpenVINO: what is left is the server.

    python bench/peers/litserve_openvino.py BUNDLE PORT WORKERS BATCH     # BUNDLE: holds model.onnx, manifest.json

Each of WORKERS processes takes up to BATCH pictures at a time, on its part of the cores.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import openvino
from PIL import Image

SIDE_PX = 224
CROP_FRAC = 0.875
BATCH_TIMEOUT_S = 0.005  # as long as ours waits


class Flowers(litserve.LitAPI):
    """A bundle's model.onnx in bf16, compiled for just so many pictures as a batch has."""

    def __init__(self, bundle: Path, *, n_workers: int, batch: int) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=BATCH_TIMEOUT_S if batch > 1 else 0.0)
        self.bundle = bundle
        self.batch_pictures = batch
        self.n_threads = max(1, len(os.sched_getaffinity(0)) // n_workers)

    def setup(self, device: str) -> None:
        self.classes = json.loads((self.bundle / "manifest.json").read_text())["classes"]
        core = openvino.Core()
        graph = core.read_model(self.bundle / "model.onnx")
        graph.reshape({"pixels": [self.batch_pictures, SIDE_PX, SIDE_PX, 3]})
        settings = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self.n_threads}
        self.compiled = core.compile_model(graph, "CPU", settings)

    def decode_request(self, request) -> np.ndarray:  # LitServe would check a body against an annotation
        image = Image.open(BytesIO(base64.b64decode(request["image_data"])))
        image.draft("RGB", (2 * SIDE_PX, 2 * SIDE_PX))  # a large JPEG need not be decoded in full
        image = image.convert("RGB")
        side = min(image.size) * CROP_FRAC
        left, top = ((length - side) / 2 for length in image.size)
        box = (left, top, left + side, top + side)
        return np.asarray(image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC, box=box))

    def predict(self, pictures: Any) -> Any:
        """Of one picture (224, 224, 3) its probabilities; of a batch (N, 224, 224, 3) a list of them."""
        if self.batch_pictures == 1:
            return self.compiled({"pixels": pictures[None]})["probabilities"][0]
        pixels = np.zeros((self.batch_pictures, SIDE_PX, SIDE_PX, 3), np.uint8)
        pixels[: len(pictures)] = pictures
        return list(self.compiled({"pixels": pixels})["probabilities"][: len(pictures)])

    def unbatch(self, output: list[np.ndarray]) -> list[np.ndarray]:
        return output

    def encode_response(self, probabilities: np.ndarray) -> dict[str, Any]:
        return {"label": self.classes[int(probabilities.argmax())], "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    bundle, port, n_workers, batch = Path(sys.argv[1]), *map(int, sys.argv[2:])
    api = Flowers(bundle, n_workers=n_workers, batch=batch)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=n_workers)
    server.run(host="127.0.0.1", port=port, generate_client_file=False)
