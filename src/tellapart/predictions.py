"""Predictions of many pictures: by whom they are made, where they go, and the rows that are printed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path

from tellapart.bulk.listing import PassedOver, Shard, find_pictures
from tellapart.bulk.output import Output, Predictor, open_output
from tellapart.bulk.remote import is_url, predict_any
from tellapart.bulk.stores import without_scheme
from tellapart.errors import CallError, DataError
from tellapart.files import printable
from tellapart.images import PICTURE_SUFFIXES
from tellapart.images.containers import members
from tellapart.inference import Classifier, Prediction
from tellapart.progress import Progress
from tellapart.words import counted

FIRST_PATHS = 1000  # that are found before the work begins: whether they are all, and how wide their names are
BAR_WIDTH = 12
BLOCKS = " ▏▎▍▌▋▊▉█"
MAX_NAME_WIDTH = 60
NONE = "none of the labels"


class Job:
    """Pictures that a classifier predicts: go through `work`, then ask for the `account`. Make one with `Job.of`."""

    def __init__(
        self, classifier: Classifier, pictures: Iterator[str], passed: PassedOver, predict: Predictor,
        *, output: Output | None, out: str | None, failures: str | None,
    ) -> None:  # fmt: skip
        self.classes = classifier.classes
        self.first = list(islice(pictures, FIRST_PATHS))  # the paths that it begins with
        self._paths, self._passed, self._predict = chain(self.first, pictures), passed, predict
        self._output, self._out, self._failures = output, out, failures
        self._n_pictures = self._n_failed = 0

    @classmethod
    def of(
        cls, run: Path, patterns: Sequence[str], *, out: str | None = None, failures: str | None = None, resume: bool = False,
        shard: str | None = None, cluster: str | None = None, tta: bool = False,
    ) -> Job:  # fmt: skip
        """The job that a call of the command means. Raises what loading, finding and writing raise; nothing is predicted yet."""
        if out is None and (resume or failures is not None):
            raise CallError(f"{'--resume' if resume else '--failures'} needs a file to write to: --out predictions.csv")
        part = Shard.parse(shard) if shard is not None else None
        if part:
            out, failures = (file and part.named(file) for file in (out, failures))
        for file in (one for one in (out, failures) if one is not None):
            refuse_overwriting(file, patterns)
        if out is not None and out == failures:
            raise CallError(f"--out and --failures are both {out}; give two files")
        classifier, passed = Classifier.load(run), PassedOver()
        pictures, views = find_pictures(patterns, passed, shard=part), classifier.views(tta)
        output = open_output(out, classifier, views=views, shard=part, resume=resume) if out is not None else None
        predict = predictor(classifier, patterns, views=views, cluster=cluster)
        return cls(classifier, pictures, passed, predict, output=output, out=out, failures=failures)

    def work(self, progress: Progress) -> Iterator[Prediction]:
        """Each prediction when it is ready; what an earlier call has kept is not predicted again. Raises StorageError."""
        n_expected = len(self.first) if len(self.first) < FIRST_PATHS else 0
        predictions = self._output.write(self._paths, self._predict) if self._output else self._predict(self._paths)
        for one in predictions:
            self._n_pictures += 1
            self._n_failed += one.error is not None
            progress("predicting", self._n_pictures, n_expected)
            yield one
        if self._output:
            self._output.finish(failures=self._failures, lost=self._passed.unreadable)
            self._n_pictures, self._n_failed = self._output.n_pictures, self._output.n_failed

    @property
    def has_failed(self) -> bool:
        """Whether none of the pictures could be read."""
        return self._n_failed == self._n_pictures > 0

    def account(self) -> list[str]:
        """What was passed over and what came of all else, in sentences. The counts reconcile."""
        n_predicted = self._n_pictures - self._n_failed
        text = f"{counted(self._n_pictures, 'file')} = {n_predicted:,} predicted + {self._n_failed:,} unreadable"
        text += f", in {self._out}" if self._out else ""
        if self._output and self._output.n_kept:
            text += f"; {self._output.n_kept:,} of them by an earlier call"
        if self._passed.first is None:
            return [text]
        one = self._passed.first
        return [f"passed over {counted(self._passed.n, 'other file')}, such as {printable(one.path)}: {one.reason}", text]


def predictor(classifier: Classifier, patterns: Sequence[str], *, views: tuple[str, ...], cluster: str | None) -> Predictor:
    """What predicts the pictures that these patterns mean: this process, or the Ray cluster at an address."""
    if cluster is not None:
        from tellapart.bulk.cluster import predict_on_cluster

        return partial(predict_on_cluster, classifier, address=cluster, views=views)
    return partial(predict_any if any(map(is_url, patterns)) else Classifier.predict_many, classifier, tta=views)


def refuse_overwriting(out: str, patterns: Sequence[str]) -> None:
    """Raise CallError where `out` is a picture, holds pictures or is what names them: sources are never written.

    Nor are folders, devices and pipes, which a file would take the place of.
    """
    place = without_scheme(out)
    if os.path.isdir(place) or os.path.basename(place) in ("", ".", ".."):
        raise CallError(f"{out!r} is a folder; give a file in it: {os.path.join(out, 'predictions.csv')}")
    if is_url(place) or not os.path.lexists(place):
        return
    if not os.path.isfile(place) or os.path.dirname(os.path.abspath(place)) == "/dev":  # /dev/stdout may lead to a file
        raise CallError(f"{out} is no regular file; nothing is put in its place. Choose another --out.")
    sources = map(without_scheme, patterns)
    is_source = any(os.path.exists(source) and os.path.samefile(place, source) for source in sources)
    if is_source or os.path.splitext(place)[1].lower() in PICTURE_SUFFIXES or _holds_pictures(place):
        raise CallError(f"{out} is one of the pictures to predict, or holds some; nothing is overwritten. Choose another --out.")


def _holds_pictures(file: str) -> bool:
    with suppress(DataError, CallError):  # damaged: then nothing can be read from it
        return members(file) is not None
    return False


def row_text(prediction: Prediction, *, name_width: int, label_width: int) -> str:
    """A prediction as a line of a table: name, label, a bar of its probability; of several labels each with its probability."""
    name = _shortened(prediction.path, name_width)
    if prediction.error or prediction.label is None or prediction.probability is None:
        return f"{name}  {'-':{label_width}}  {prediction.error}"
    share = prediction.probability
    stranger = "  like none of the training pictures" if prediction.unknown else ""
    if not prediction.label or len(prediction.labels) > 1:
        said = ", ".join(f"{printable(label)} {prediction.probabilities[label]:.1%}" for label in prediction.labels)
        return f"{name}  {said or NONE}{stranger}"
    return f"{name}  {printable(prediction.label):{label_width}}  {_bar(share)} {share:6.1%}{stranger}"


def name_width(paths: Sequence[str]) -> int:
    """How wide the column of names is, within the terminal."""
    room = max(20, shutil.get_terminal_size().columns - 45)
    return min(max((len(printable(path)) for path in paths), default=0), MAX_NAME_WIDTH, room)


def _shortened(path: str, width: int) -> str:
    name = printable(path)
    return f"{name:{width}}" if len(name) <= width else "…" + name[1 - width :]


def _bar(share: float) -> str:
    eighths = round(share * BAR_WIDTH * 8)
    full, rest = divmod(eighths, 8)
    return (BLOCKS[8] * full + BLOCKS[rest] * (rest > 0)).ljust(BAR_WIDTH)
