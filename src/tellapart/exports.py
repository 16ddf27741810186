"""Giving a bundle away: a copy in a folder of its own, checked on real pictures by another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tellapart.errors import CallError
from tellapart.files import write_atomically
from tellapart.inference import Classifier
from tellapart.inference.manifests import FILE_NAME
from tellapart.runs import TABLE_FILE, Run
from tellapart.training.bundles import PARITY_PICTURES, check_parity


def export(path: str | Path, out: str | Path) -> dict[str, Any]:
    """Copy the bundle of the run (or bundle) at `path` to the new folder `out`; returns what `tellapart export --json` prints.

    The copy answers through ONNX Runtime in float32 what the original does through the runtime of this machine; where a
    probability differs by more than rounding, BundleError is raised. Raises CallError where `out` holds something.
    """
    classifier, folder = Classifier.load(path), Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CallError(f"{folder} is not empty; nothing is overwritten. Choose another --out.")
    for name in (*classifier.manifest.files, FILE_NAME):
        write_atomically(folder / name, (classifier.folder / name).read_bytes())
    answered = [one for one in classifier.predict_many(_some_pictures(Path(path))) if not one.error]
    expected = np.array([list(one.probabilities.values()) for one in answered])
    copy = Classifier.load(folder, library="onnxruntime")
    difference = check_parity(copy, [one.path for one in answered], expected) if answered else None
    files = sorted(file.name for file in folder.iterdir())
    return {"out": str(folder), "files": files, "n_pictures": len(answered), "difference": difference}


def _some_pictures(path: Path) -> list[str]:
    """Pictures of the run at `path`, spread over its table; none where it is a bare bundle or they have moved."""
    if not (path / TABLE_FILE).is_file():
        return []
    paths = [one for one in Run.load(path).table.paths if Path(one).is_file()]
    return paths[:: max(1, len(paths) // PARITY_PICTURES)][:PARITY_PICTURES]
