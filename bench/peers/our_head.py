"""The features and the head of one of Tellapart's runs, in torch: written from their description, not from their code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

MIDDLE_STAGE = 5
INNERMOST = slice(2, 5)  # of 7 positions


def features(model: torch.nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """(N, 3, 224, 224) normalised -> (N, 3136): last layer's mean and maximum; middle stage's mean, spread and innermost mean."""
    x = model.bn1(model.conv_stem(pictures))
    for stage in model.blocks[: MIDDLE_STAGE + 1]:
        x = stage(x)
    middle = x  # (N, 192, 7, 7)
    for stage in model.blocks[MIDDLE_STAGE + 1 :]:
        x = stage(x)
    last = model.bn2(model.conv_head(x))  # (N, 1280, 7, 7)
    spread = middle.std((2, 3), correction=0)
    innermost = middle[:, :, INNERMOST, INNERMOST].mean((2, 3))
    return torch.cat([last.mean((2, 3)), last.amax((2, 3)), middle.mean((2, 3)), spread, innermost], 1)


@dataclass(frozen=True)
class LinearHead:
    """A linear layer over the features."""

    classes: tuple[str, ...]
    weight: torch.Tensor  # (D, K)
    bias: torch.Tensor  # (K,)

    @classmethod
    def load(cls, bundle: Path) -> LinearHead:
        tensors = load_file(bundle / "head.safetensors")
        classes = json.loads((bundle / "manifest.json").read_text())["classes"]
        return cls(tuple(classes), tensors["weights"], tensors["bias"])

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        return features @ self.weight + self.bias  # logits (N, K)
