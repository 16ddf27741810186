"""The classifiers that are served, each under its name; replaced while requests go on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tellapart.errors import BundleError, CallError, unknown_name
from tellapart.inference import Classifier
from tellapart.inference.classifiers import BUNDLE, refuse_absent
from tellapart.inference.manifests import FILE_NAME
from tellapart.inference.runtimes import BATCH
from tellapart.memory import give_back
from tellapart.server.logs import log
from tellapart.server.metrics import Metrics

NAME = re.compile(r"[\w.-]{1,64}")
CURRENT = "current"  # a link in a folder of bundles to the one that is served
VERSION_DIGITS = 12


@dataclass(frozen=True)
class Served:
    """A loaded classifier; `version` is the beginning of its network's SHA-256, `place` where it was found."""

    name: str
    classifier: Classifier
    version: str
    place: str


class Models:
    """The served classifiers by name; the first is asked where a request names none."""

    def __init__(self, places: Mapping[str, Path], metrics: Metrics) -> None:
        """Load them all. Raises CallError and BundleError as `Classifier.load` does."""
        self._places = places
        self._metrics = metrics
        self._served = {name: self._load(name) for name in places}
        self._tried = {name: one.place for name, one in self._served.items()}

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def get(self, name: str | None) -> Served:
        """The model of this name. Raises CallError where there is none."""
        if name is None:
            return next(iter(self))
        if name not in self._served:
            raise unknown_name("model", name, self._served)
        return self._served[name]

    def reload(self) -> None:
        """Load all anew. One that cannot be is logged, and what was served before stays."""
        for name in self._places:
            self._replace(name)

    def reload_moved(self) -> None:
        """Load those anew whose links lead elsewhere than when they were last tried."""
        for name, place in self._places.items():
            if _real_place(place) != self._tried[name]:
                self._replace(name)

    def _replace(self, name: str) -> None:
        self._tried[name] = _real_place(self._places[name])
        try:
            self._served[name] = self._load(name)
        except Exception as error:  # whatever is wrong with the new one, the old one serves
            self._metrics.loads.add(model=name, outcome="failed")
            log("model_kept", model=name, version=self._served[name].version, error=str(error))
            return
        log("model_loaded", model=name, version=self._served[name].version)
        give_back()

    def _load(self, name: str) -> Served:
        refuse_absent(self._places[name])
        place = _real_place(self._places[name])  # a link that is changed meanwhile must not mix two bundles
        classifier = Classifier.load(place).for_few()
        _warm_up(classifier)
        self._metrics.loads.add(model=name, outcome="loaded")
        return Served(name, classifier, classifier.manifest.files["model.onnx"][:VERSION_DIGITS], place)


def named_places(words: Sequence[str]) -> dict[str, Path]:
    """RUN and NAME=RUN as places by name; RUN goes by its folder's name. Raises CallError for a name twice, or a bad one."""
    places: dict[str, Path] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign or os.path.exists(word):
            name, text = _name_of(Path(word)), word
        if not NAME.fullmatch(name):
            raise CallError(f"{name!r} is no name for a model: letters, digits, '.', '_' and '-'. Give one: NAME={text}")
        if name in places:
            raise CallError(f"there are two models {name!r}; name them apart: NAME={text}")
        places[name] = Path(text)
    return places


def _name_of(place: Path) -> str:
    folder = Path(os.path.abspath(place))
    return folder.parent.name if folder.name in (BUNDLE, CURRENT) else folder.name


def _real_place(place: Path) -> str:
    """Where a run or bundle really lies; of a folder that holds a link `current`, where that leads."""
    has_bundle = os.path.exists(place / FILE_NAME) or os.path.exists(place / BUNDLE)
    return os.path.realpath(place / CURRENT if not has_bundle and os.path.lexists(place / CURRENT) else place)


def _warm_up(classifier: Classifier) -> None:
    """Let the network answer once; one that answers nonsense is not served."""
    fit = classifier.manifest.fit
    outputs = classifier.runtime.compute(np.zeros((BATCH, fit.side_px, fit.side_px, fit.n_channels), np.uint8))
    if not all(np.all(np.isfinite(values)) for values in outputs.values()):
        raise BundleError(f"{classifier.folder} is damaged: its network's answers are no numbers")
