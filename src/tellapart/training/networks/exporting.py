"""A trained network as a backbone on disk, which bundles, `predict` and `serve` run without PyTorch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from tellapart.files import cache_dir, write_atomically
from tellapart.images import Fit
from tellapart.inference.features import Backbone
from tellapart.training.networks.pictures import PictureNetwork
from tellapart.training.tracing import traced

FILE = "backbone.onnx"


class Served(nn.Module):
    """`pixels` (N, side, side, C) uint8 to the `features` (N, D) float32 of a network, of grey pictures from one of the channels.

    `mirrored`: the mean of the features of a picture and of its mirror image, so that the linear head has the mean of both
    logits. It takes twice the time, and is for small networks that learned from mirrored pictures.
    """

    def __init__(self, network: PictureNetwork, *, mirrored: bool) -> None:
        super().__init__()
        self.network, self.mirrored = network, mirrored

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        pictures = pixels.permute(0, 3, 1, 2)[:, : self.network.n_channels]
        features = self.network.features(pictures)
        return (features + self.network.features(pictures.flip(3))) / 2 if self.mirrored else features


def export_backbone(served: Served, fit: Fit, *, arch: str, weights: str, folder: Path | None) -> Backbone:
    """Write the network's graph to `folder`, by default to one of the cache that is named by the weights.

    `weights` says in words where they come from. Raises BundleError where the graph cannot be written as ONNX.
    """
    tensors = served.network.state_dict()
    digest = hashlib.sha256(b"".join(tensor.cpu().numpy().tobytes() for tensor in tensors.values())).hexdigest()
    place = folder or cache_dir() / "trained" / digest[:24]
    write_atomically(place / FILE, graph_of(served, fit, arch=arch))
    return Backbone(arch, weights, digest, place / FILE, fit, (served.network.head.in_features,))


def graph_of(served: Served, fit: Fit, *, arch: str) -> bytes:
    """The network as it is now, an ONNX file's content. Raises BundleError where it cannot be written as one."""
    served.eval()
    device = next(served.parameters()).device
    pixels = torch.zeros(2, fit.side_px, fit.side_px, fit.n_channels, dtype=torch.uint8, device=device)
    content: bytes = traced(served, pixels, name=arch).SerializeToString()
    return content
