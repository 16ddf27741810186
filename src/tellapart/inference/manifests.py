"""A bundle's manifest: what a network is, what it was made from, and the hashes of its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tellapart.errors import BundleError, CallError
from tellapart.files import read_json, sha256_of
from tellapart.images import Fit
from tellapart.images.limits import RGB_CHANNELS

FORMAT = 2  # the newest that is read
USUAL = 1  # the format of what says one label of RGB or grey pictures, so that older versions read it
KIND = "tellapart-classifier"
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """All that is known of a classifier besides its numbers. Written as JSON beside them."""

    classes: tuple[str, ...]
    fit: Fit  # how a picture becomes the network's input
    arch: str
    weights: str
    weights_sha256: str
    unknown_below: float  # cosine to the nearest class centre; below it a picture is like none of the training pictures
    data_sha256: str  # of the sorted training contents and labels
    recipe: Mapping[str, Any]
    figures: Mapping[str, Any]  # of the training: pictures by class, penalty, temperature, cross-validated accuracy
    versions: Mapping[str, str]
    created: str  # UTC, ISO 8601
    files: Mapping[str, str]  # name -> SHA-256
    thresholds: Mapping[str, float] | None = None  # of several labels a picture: the probability from which each class is said

    @property
    def several(self) -> bool:
        """Whether a picture may have several labels, each with a probability of its own, or none."""
        return self.thresholds is not None

    def to_json(self) -> dict[str, Any]:
        values, n_channels = asdict(self), self.fit.n_channels
        if not self.several:
            del values["thresholds"]
        is_usual = n_channels == RGB_CHANNELS and not self.several
        told = {"kind": KIND, "format": USUAL if is_usual else FORMAT, "n_channels": n_channels}
        return told | values | {"fit": self.fit.to_json()}

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of the bundle in `folder`; raises BundleError where it is missing, damaged or of a newer format."""
        if not (folder / FILE_NAME).is_file():
            raise BundleError(f"{folder} holds no classifier: there is no {FILE_NAME} in it. Give a run or an exported bundle.")
        return cls.from_json(read_json(folder / FILE_NAME), str(folder / FILE_NAME))

    @classmethod
    def from_json(cls, values: Mapping[str, Any], place: str = FILE_NAME) -> Manifest:
        """The manifest with these values; `place` names their file in errors. Unknown fields are left alone."""
        if values.get("kind") != KIND:
            raise BundleError(f"{place} is not a classifier's manifest: its kind is {values.get('kind')!r}, not {KIND!r}")
        _check_format(values.get("format"), place)
        for name, (is_right, meaning) in CHECKS.items():
            if name not in values:
                raise BundleError(f"{place} is damaged: {name!r} is missing")
            if not is_right(values[name]):
                raise BundleError(f"{place} is damaged: {name!r} is not {meaning}")
        try:
            fit = Fit(**values["fit"], n_channels=values.get("n_channels", RGB_CHANNELS))
        except (TypeError, CallError) as error:
            raise BundleError(f"{place} is damaged: 'fit' is not possible: {error}") from error
        fields = {name: values[name] for name in CHECKS}
        thresholds = _thresholds(values, place) if "thresholds" in values else None
        return cls(**{**fields, "fit": fit, "classes": tuple(values["classes"]), "thresholds": thresholds})

    def verify(self, folder: Path) -> None:
        """Raise BundleError unless each file is there with the hash that it was written with."""
        for name in {"model.onnx", "head.safetensors"} - self.files.keys():
            raise BundleError(f"{folder / FILE_NAME} is damaged: it has no hash of {name!r}")
        for name, digest in self.files.items():
            path = folder / name
            if Path(name).name != name or not path.is_file():
                raise BundleError(f"{folder} is damaged: {name!r} is missing. Copy or export the bundle again.")
            if sha256_of(path) != digest:
                raise BundleError(f"{path} is damaged: its SHA-256 is not the manifest's. Copy or export the bundle again.")


def _check_format(found: Any, place: str) -> None:
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise BundleError(f"{place} is damaged: its format is {found!r}, not a number")
    if found > FORMAT:
        raise BundleError(f"{place} is of format {found}; this Tellapart reads up to {FORMAT}: pip install -U tellapart")


def _thresholds(values: Mapping[str, Any], place: str) -> dict[str, float]:
    """Each class's threshold, in the order of the classes."""
    found, classes = values.get("thresholds"), values["classes"]
    if not isinstance(found, dict) or found.keys() != set(classes) or not all(map(_is_share, found.values())):
        raise BundleError(f"{place} is damaged: 'thresholds' is not an object of a number from 0 to 1 for each class")
    return {name: float(found[name]) for name in classes}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_classes(value: Any) -> bool:
    return isinstance(value, list) and len(value) == len({*map(str, value)}) >= 2 and all(map(_is_text, value))


def _is_figures(value: Any) -> bool:
    if not isinstance(value, dict) or not all(_is_number(value.get(name)) for name in ("n_train", "penalty", "temperature")):
        return False
    counts, left_out = value.get("counts"), value.get("left_out", [])  # the latter is not in the oldest
    if not isinstance(left_out, list) or not all(map(_is_text, left_out)):
        return False
    return isinstance(counts, dict) and len(counts) > 0 and all(map(_is_number, counts.values()))


CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "classes": (_is_classes, "a list of at least 2 different names"),
    "fit": (_is_object, "an object"),
    "arch": (_is_text, "a text"),
    "weights": (_is_text, "a text"),
    "weights_sha256": (_is_text, "a text"),
    "unknown_below": (_is_number, "a number"),
    "data_sha256": (_is_text, "a text"),
    "recipe": (_is_object, "an object"),
    "figures": (_is_figures, "an object with n_train, counts, penalty and temperature"),
    "versions": (_is_texts, "an object of texts"),
    "created": (_is_text, "a text"),
    "files": (_is_texts, "an object of texts"),
}
