"""LitServe as its README and its image example have it: one picture a request, decoded by Pillow, eager float32 PyTorch.

    python bench/peers/litserve_torch.py BUNDLE PORT       # BUNDLE: holds head.safetensors, manifest.json

All settings are LitServe's and PyTorch's own.
"""

from __future__ import annotations

import base64
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import litserve
import torch
from lite0 import MEAN, STD, lite0
from our_head import LinearHead, features
from PIL import Image
from timm.data import create_transform

SIDE_PX = 224
CROP_FRAC = 0.875


class Flowers(litserve.LitAPI):
    """The backbone with the head of one of Tellapart's runs."""

    def __init__(self, bundle: Path) -> None:
        super().__init__()
        self.bundle = bundle

    def setup(self, device: str) -> None:
        self.network = lite0().to(device)
        self.head = LinearHead.load(self.bundle)
        self.transform = create_transform((3, SIDE_PX, SIDE_PX), interpolation="bicubic", mean=MEAN, std=STD, crop_pct=CROP_FRAC)

    def decode_request(self, request) -> torch.Tensor:  # LitServe would check a body against an annotation
        image = Image.open(BytesIO(base64.b64decode(request["image_data"]))).convert("RGB")
        return self.transform(image)[None].to(self.device)  # (1, 3, 224, 224)

    @torch.inference_mode()
    def predict(self, picture: torch.Tensor) -> torch.Tensor:
        return self.head(features(self.network, picture)).softmax(1)[0]

    def encode_response(self, probabilities: torch.Tensor) -> dict[str, Any]:
        return {"label": self.head.classes[int(probabilities.argmax())], "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Flowers(Path(sys.argv[1])), accelerator="auto")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False)
