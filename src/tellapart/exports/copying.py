"""A bundle in a folder of its own, and how a copy is checked on real pictures by another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tellapart.errors import BundleError
from tellapart.files import refuse_used, write_atomically
from tellapart.images.containers import exists
from tellapart.inference import Classifier
from tellapart.inference.classifiers import BUNDLE
from tellapart.inference.manifests import FILE_NAME, Manifest
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
    names = copy_bundle(classifier, folder)
    try:
        n_pictures, difference = parity_of(classifier, Classifier.load(folder, library="onnxruntime"), Path(path))
    except BundleError:  # a copy that answers otherwise must not lie there as if it were good
        for name in names:
            (folder / name).unlink()
        raise
    return {"out": str(folder), "files": names, "n_pictures": n_pictures, "difference": difference}


def parity_of(classifier: Classifier, copy: Classifier, path: Path) -> tuple[int, float | None]:
    """On how many pictures of the run at `path` a copy was compared to its original, and the largest difference of a probability;
    (0, None) where none is in its place. Raises BundleError where it is more than rounding.
    """
    answered = [one for one in classifier.predict_many(_some_pictures(path)) if not one.error]
    if not answered:
        return 0, None
    expected = np.array([list(one.probabilities.values()) for one in answered])
    return len(answered), check_parity(copy, [one.path for one in answered], expected)


def copy_bundle(classifier: Classifier, folder: Path) -> list[str]:
    """Copy the files of a loaded bundle; returns their names. Raises BundleError where the copy is not what was loaded."""
    names = sorted((*classifier.manifest.files, FILE_NAME))
    for name in names:
        write_atomically(folder / name, (classifier.folder / name).read_bytes())
    Manifest.read(folder).verify(folder)
    return names


def name_of(path: Path) -> str:
    """What the classifier of a run or bundle goes by: its folder's name."""
    folder = path.resolve()
    return folder.parent.name if folder.name == BUNDLE else folder.name


def _some_pictures(path: Path) -> list[str]:
    """Pictures of the run at `path`, spread over its table; none where it is a bare bundle or they have moved."""
    if not (path / TABLE_FILE).is_file():
        return []
    table = Run.load(path).table
    paths = [one for one, split in zip(table.paths, table.splits, strict=True) if split != "test" and exists(one)]
    return paths[:: max(1, len(paths) // N_WITNESSES)][:N_WITNESSES]
