"""`Classifier`: a loaded bundle that says what is on a picture. No PyTorch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tellapart.errors import BundleError, CallError, DataError, PictureError, unknown_name
from tellapart.files import read_json
from tellapart.images.arrays import as_pixels
from tellapart.images.decoding import Source
from tellapart.inference.explaining import Explanation, drops_of, hidden, see
from tellapart.inference.manifests import FILE_NAME, Manifest
from tellapart.inference.partial_batches import partial_batches
from tellapart.inference.runtimes import BATCH, Outputs, Runtime, load_runtime
from tellapart.inference.streaming import Result, run_pictures
from tellapart.inference.tta import OverViews, choose_views

BUNDLE = "bundle"  # folder of the bundle within a run
TURNED_FREELY = "turned_freely"  # among a manifest's figures: whether the network learned from pictures turned by any angle
LEFT_OUT = "left_out"  # among a manifest's figures: the transforms that change what the training pictures show ("flip", ...)
RUN_FILE = "run.json"  # a run's state; "unfinished" until all is written


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one picture; with an `error`, why it says nothing.

    `labels` are what is on the picture, the most likely first: one, unless the classifier says several; then those whose
    probability reaches their threshold, which may be none. `label` is the first of them, "" where there is none, and
    `probability` is its own, or where there is none that of the most likely class.
    `probabilities` holds every class in the classifier's order and sums to 1, unless it says several. `unknown` means that the
    picture is like none of the training pictures, so that its label is not to be trusted however probable. `familiarity` is
    what decides it: the cosine of the picture's embedding to the nearest class centre, at most 1.
    """

    path: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    unknown: bool | None = None
    familiarity: float | None = None
    error: str | None = None
    labels: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        names = ("path", "label", "probability", "probabilities", "unknown", "error")
        return {name: getattr(self, name) for name in names} | {"labels": list(self.labels)}


class Classifier:
    """A bundle in memory. Make one with `Classifier.load`."""

    def __init__(self, folder: Path, manifest: Manifest, runtime: Runtime, centres: np.ndarray) -> None:
        self.folder = folder
        self.manifest = manifest
        self.runtime = runtime
        self._centres = centres  # (K, C) unit vectors

    @classmethod
    def load(cls, path: str | Path, *, library: str | None = None) -> Classifier:
        """The classifier in a run's folder or an exported bundle, its files checked against their hashes.

        `library` is "openvino", "onnxruntime" or "torch"; by default $TELLAPART_RUNTIME, else the first of the former two that is
        installed.
        Raises CallError where nothing is there, and BundleError where it is none, unfinished, damaged or of a newer format.
        """
        folder = _bundle_folder(Path(path))
        manifest = Manifest.read(folder)
        manifest.verify(folder)
        try:
            centres = load_file(folder / "head.safetensors")["centres"]
        except (SafetensorError, KeyError, OSError) as error:
            raise BundleError(f"{folder / 'head.safetensors'} is damaged: {error}") from error
        runtime = load_runtime(folder / "model.onnx", library=library)
        _check_widths(runtime, manifest, centres, folder)
        return cls(folder, manifest, runtime, centres)

    def running_on(self, runtime: Runtime) -> Classifier:
        """The same classifier with another network of the same inputs and outputs."""
        return Classifier(self.folder, self.manifest, runtime, self._centres)

    def for_few(self) -> Classifier:
        """The same for a server, whose pictures often come alone: its runtime takes batches that are not full."""
        return self.running_on(partial_batches(self.runtime))

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    @property
    def several(self) -> bool:
        """Whether a picture may have several labels, or none."""
        return self.manifest.several

    def predict(self, picture: Source, *, tta: bool | Sequence[str] = False) -> Prediction:
        """What is on one picture: a path, the bytes of a file, or an array (H, W) or (H, W, C) uint8. Raises PictureError where
        it cannot be read or has another number of channels than the classifier learned from, and CallError for anything else.
        """
        prediction = next(self.predict_many([picture], tta=tta))
        if prediction.error:
            raise PictureError("unreadable", f"{prediction.path or 'the picture'}: {prediction.error}")
        return prediction

    def predict_many(self, pictures: Iterable[Source], *, tta: bool | Sequence[str] = False) -> Iterator[Prediction]:
        """A prediction for each picture, in order, as they are ready; a picture that cannot be read is a row with its error.

        With `tta` each is the mean over views of the picture (`views`), which takes as many times as long.
        Raises CallError for what is neither a path, nor bytes, nor an array.
        """
        views = self.views(tta)
        runtime = OverViews(self.runtime, views) if views != ("as_is",) else self.runtime
        names: list[str] = []

        def noted() -> Iterator[Source]:
            for picture in pictures:
                source = _source(picture)
                names.append("" if isinstance(source, bytes | np.ndarray) else os.fspath(source))
                yield source

        for result in run_pictures(runtime, noted(), self.manifest.fit):
            yield self.prediction_of(names.pop(0), result)

    def views(self, tta: bool | Sequence[str]) -> tuple[str, ...]:
        """The views that predictions with this `tta` are the mean of, or those named (see `tellapart.inference.tta`).

        Of True: turned by quarters where the network learned from pictures turned by any angle; else as it is and mirrored, but
        as it is alone where mirroring changes what the pictures of this classifier show.
        """
        figures = self.manifest.figures
        return choose_views(tta, left_out=figures.get(LEFT_OUT, ()), turned_freely=bool(figures.get(TURNED_FREELY)))

    def explain(self, picture: Source, *, label: str | None = None) -> Explanation:
        """How much the probability of a label (by default the most probable) falls when a part of the picture is hidden.

        Takes 50 predictions. Raises PictureError where the picture cannot be read, and CallError for an unknown label.
        """
        if label is not None and label not in self.classes:
            raise unknown_name("label", label, self.classes)
        seen = see(_source(picture), self.manifest.fit)
        pictures, runtime = chain([seen.pixels], hidden(seen.pixels)), partial_batches(self.runtime, singly=False)
        batches = iter(lambda: list(islice(pictures, BATCH)), [])
        rows = [row for outputs in runtime.stream(map(np.stack, batches)) for row in outputs["probabilities"]]
        place = int(np.argmax(rows[0])) if label is None else self.classes.index(label)
        shares = [float(row[place]) for row in rows]
        return Explanation(self.classes[place], shares[0], drops_of(shares[0], shares[1:]), seen.box)

    def embed(self, pictures: Iterable[Source]) -> Iterator[np.ndarray | PictureError]:
        """The embedding (D,) float32 of each picture, or the error that stopped it."""
        for result in run_pictures(self.runtime, pictures, self.manifest.fit):
            yield result.error or result.outputs["embedding"]

    def prediction_of(self, path: str, result: Result) -> Prediction:
        """What the network's answer to a picture means; `path` is the prediction's."""
        if result.error:
            return Prediction(path, error=str(result.error))
        probabilities = dict(zip(self.classes, result.outputs["probabilities"].tolist(), strict=True))
        best = self.classes[int(np.argmax(result.outputs["probabilities"]))]
        labels = (best,) if self.manifest.thresholds is None else labels_above(probabilities, self.manifest.thresholds)
        familiarity = self._familiarity(result.outputs)
        return Prediction(
            path=path,
            label=labels[0] if labels else "",
            probability=probabilities[labels[0] if labels else best],
            probabilities=probabilities,
            unknown=familiarity < self.manifest.unknown_below,
            familiarity=familiarity,
            labels=labels,
        )

    def _familiarity(self, outputs: Outputs) -> float:
        part = outputs["embedding"][: self._centres.shape[1]]
        return float(np.max(self._centres @ part) / max(float(np.linalg.norm(part)), 1e-12))


def labels_above(probabilities: Mapping[str, float], thresholds: Mapping[str, float]) -> tuple[str, ...]:
    """The classes whose probability reaches their threshold, the most likely first."""
    said = [name for name, probability in probabilities.items() if probability >= thresholds[name]]
    return tuple(sorted(said, key=lambda name: -probabilities[name]))


def _check_widths(runtime: Runtime, manifest: Manifest, centres: np.ndarray, folder: Path) -> None:
    """Raise BundleError where the manifest, the network and the centres do not belong together."""
    n_classes, found = len(manifest.classes), runtime.widths
    wanted = {"pixels": manifest.fit.side_px, "probabilities": n_classes}
    is_other = {name: found.get(name) for name in wanted} != wanted or runtime.n_channels != manifest.fit.n_channels
    if is_other or len(centres) != n_classes or "embedding" not in found:
        raise BundleError(f"{folder} is damaged: its network, manifest and head do not belong together. Export the bundle again.")


def refuse_absent(path: Path) -> None:
    """Raise CallError where a run or bundle is named that is not there."""
    if not os.path.exists(path):  # Path.exists raises for a name that is too long
        raise CallError(f"no such run or bundle: {path}. Train one: tellapart train DATA --out {path}")


def _source(picture: object) -> Source:
    """The picture itself; raises CallError for what is neither a path, nor bytes, nor an array of pixels."""
    if isinstance(picture, np.ndarray):
        return _pixels(picture)
    if isinstance(picture, str | bytes | os.PathLike):
        return picture if isinstance(picture, str | bytes) else Path(picture)
    kind = type(picture).__name__
    several = ", and predict_many for several" if isinstance(picture, list | tuple) else ""
    raise CallError(f"a {kind} is no picture: give a path, the bytes of a file, or an array (H, W, C) of uint8{several}")


def _pixels(values: np.ndarray) -> np.ndarray:
    """(H, W), or (H, W, C) of 2 or more channels; raises CallError where `values` is no picture."""
    if values.dtype != np.uint8 or values.ndim not in (2, 3):
        several = ". For several: predict_many" if values.ndim == 4 else ""
        raise CallError(
            f"an array of the shape {values.shape} and {values.dtype} is no picture: give (H, W) or (H, W, C) of uint8{several}"
        )
    try:
        found: np.ndarray = as_pixels(values[np.newaxis], name="the array").values[0]
    except DataError as error:
        raise CallError(str(error)) from error
    return np.ascontiguousarray(found)


def _bundle_folder(path: Path) -> Path:
    """The bundle that `path` means: itself, or the one within a finished run."""
    refuse_absent(path)
    if (path / FILE_NAME).is_file():
        return path
    if (path / RUN_FILE).is_file() and (state := read_json(path / RUN_FILE).get("state")) != "finished":
        raise BundleError(f"the run {path} is {state}. Go on with it: tellapart train --resume {path}")
    return path / BUNDLE
