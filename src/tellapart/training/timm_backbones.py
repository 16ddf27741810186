"""Any timm model as a backbone. The only module of the default path's room that imports PyTorch."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnx
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.data.config import resolve_data_config

from tellapart.errors import BundleError, CallError, unknown_name
from tellapart.training.graphs import OPSET, Exported
from tellapart.training.recipe import Recipe

TIMM_NAME = {"efficientnet_lite0": "tf_efficientnet_lite0"}  # our default by its own name, for other weights than the bundled


def export_timm(recipe: Recipe) -> Exported:
    """The timm model of this name as a graph whose features are its pooled last layer: mean and maximum where it is a map.

    Raises CallError for a name that timm does not know and BundleError for weights that cannot be had or do not fit.
    """
    arch = TIMM_NAME.get(recipe.arch, recipe.arch)
    if not timm.is_model(arch):
        raise unknown_name("backbone", recipe.arch, timm.list_models())
    torch.manual_seed(recipe.seed)
    model = _create(arch, recipe).eval()
    config: dict[str, Any] = resolve_data_config({}, model=model)  # type: ignore[no-untyped-call]
    network = _Features(model, config["mean"], config["std"])
    pixels = torch.zeros(2, recipe.side_px, recipe.side_px, 3, dtype=torch.uint8)
    try:
        with torch.inference_mode():
            widths = [part.shape[1] for part in network.parts(pixels)]
    except (AssertionError, RuntimeError, ValueError) as error:  # how timm's networks say that a size does not suit them
        raise CallError(f"{recipe.arch!r} cannot take pictures of {recipe.side_px} px: {error}") from error
    digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())).hexdigest()
    try:
        graph = _to_onnx(network, pixels)
    except Exception as error:  # the exporter has no base class of its own for an operation that ONNX lacks
        raise BundleError(f"{recipe.arch!r} cannot be written as ONNX: {str(error).splitlines()[0]}") from error
    return Exported(graph, _words(recipe), digest, float(config["crop_pct"]), tuple(widths))


def _create(arch: str, recipe: Recipe) -> torch.nn.Module:
    if recipe.weights == "none":
        return timm.create_model(arch, num_classes=0)
    if _is_path(recipe.weights):
        return _with_file(timm.create_model(arch, num_classes=0), Path(recipe.weights))
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{arch}.*")]
    if recipe.weights != "auto" and recipe.weights not in tags:
        raise unknown_name(f"weights of {recipe.arch}", recipe.weights, ["auto", "none", *tags])
    try:
        return timm.create_model(arch if recipe.weights == "auto" else f"{arch}.{recipe.weights}", pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises its own kinds for no network, no file and no permission
        raise BundleError(
            f"the weights of {recipe.arch!r} cannot be had from the hub ({type(error).__name__}). On a machine that is online: "
            f"python -c \"import timm; timm.create_model('{arch}', pretrained=True)\", copy the model.safetensors that it "
            f"leaves in ~/.cache/huggingface here, and give it with --weights FILE."
        ) from error


def _is_path(weights: str) -> bool:
    """Whether a file is meant rather than one of timm's tags, also where it is not there."""
    return weights.endswith(".safetensors") or os.sep in weights or os.path.isfile(weights)


def _with_file(model: torch.nn.Module, path: Path) -> torch.nn.Module:
    if not path.is_file():
        raise CallError(f"no weights at {path}; give a .safetensors file, a name, 'auto' or 'none'")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise BundleError(f"{path} is not a safetensors file: {error}") from error
    wanted = model.state_dict()
    missing = sorted(name for name, value in wanted.items() if name not in tensors or tensors[name].shape != value.shape)
    if missing:
        count = f"{len(missing)} of {len(wanted)} tensors are missing or of another shape"
        raise BundleError(f"{path} does not fit: {count}, such as {', '.join(missing[:3])}")
    model.load_state_dict({name: tensors[name] for name in wanted})
    return model


class _Features(torch.nn.Module):
    """`pixels` (N, side, side, 3) uint8 -> `features` (N, D) float32."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean)[:, None, None] * 255)
        self.register_buffer("std", torch.tensor(std)[:, None, None] * 255)

    def parts(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        maps = self.model.forward_features((pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std)
        pooled = self.model.forward_head(maps, pre_logits=True)
        is_map = maps.ndim == 4 and maps.shape[1] == getattr(self.model, "num_features", -1)
        return [pooled, maps.amax((2, 3))] if is_map and pooled.shape[1] == maps.shape[1] else [pooled]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.parts(pixels), 1)


def _to_onnx(network: torch.nn.Module, pixels: torch.Tensor) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated; the new one is slow and needs onnxscript
        torch.onnx.export(
            network,
            (pixels,),
            Path(folder) / "backbone.onnx",
            input_names=["pixels"],
            output_names=["features"],
            dynamic_axes={"pixels": {0: "N"}, "features": {0: "N"}},
            opset_version=OPSET,
            dynamo=False,
        )
        return onnx.load(Path(folder) / "backbone.onnx")


def _words(recipe: Recipe) -> str:
    return {"auto": "from the hub, timm's default", "none": "random"}.get(recipe.weights, Path(recipe.weights).name)
