"""Giving a bundle away: a copy in a folder of its own, checked on real pictures by another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tellapart.errors import BundleError
from tellapart.files import refuse_used, write_atomically
from tellapart.images.containers import exists
from tellapart.inference import Classifier
from tellapart.inference.manifests import FILE_NAME
from tellapart.runs.run import TABLE_FILE, Run
from tellapart.training.bundles import check_parity
from tellapart.training.trainer import N_WITNESSES


def export(path: str | Path, out: str | Path) -> dict[str, Any]:
    """Copy the bundle of the run (or bundle) at `path` to the new folder `out`; returns what `tellapart export --json` prints.

    The copy answers through ONNX Runtime in float32 what the original does through the runtime of this machine; where a
    probability differs by more than rounding, BundleError is raised. Raises CallError where `out` holds something.
    """
    classifier, folder = Classifier.load(path), Path(out)
    refuse_used(folder)
    names = (*classifier.manifest.files, FILE_NAME)
    for name in names:
        write_atomically(folder / name, (classifier.folder / name).read_bytes())
    answered = [one for one in classifier.predict_many(_some_pictures(Path(path))) if not one.error]
    expected = np.array([list(one.probabilities.values()) for one in answered])
    copy = Classifier.load(folder, library="onnxruntime")
    try:
        difference = check_parity(copy, [one.path for one in answered], expected) if answered else None
    except BundleError:  # a copy that answers otherwise must not lie there as if it were good
        for name in names:
            (folder / name).unlink()
        raise
    return {"out": str(folder), "files": sorted(names), "n_pictures": len(answered), "difference": difference}


def _some_pictures(path: Path) -> list[str]:
    """Pictures of the run at `path`, spread over its table; none where it is a bare bundle or they have moved."""
    if not (path / TABLE_FILE).is_file():
        return []
    table = Run.load(path).table
    paths = [one for one, split in zip(table.paths, table.splits, strict=True) if split != "test" and exists(one)]
    return paths[:: max(1, len(paths) // N_WITNESSES)][:N_WITNESSES]
