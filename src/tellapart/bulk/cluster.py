"""Predictions by the workers of a Ray cluster: the same, in the same order, each once, whichever workers are lost.

A worker process holds the classifier once and takes one core. Nothing of `tellapart.inference` is imported at the top: a worker
says first how many threads it takes.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.errors import CallError, MissingExtraError, StorageError
from tellapart.spilling import encoded
from tellapart.threads import THREADS_VARIABLE, n_threads

if TYPE_CHECKING:
    from tellapart.inference import Classifier, Prediction

BLOCK_ROWS = 512  # what is lost with a worker; a multiple of the batch, so that each picture keeps its place in one
HERE = "local"
CONNECT_S = 10.0
PATH, ANSWER = "path", "answer"


class Worker:
    """A classifier in a process of the cluster."""

    def __init__(self, parcel: list[Any], views: tuple[str, ...], runtime_name: str) -> None:
        os.environ[THREADS_VARIABLE] = "1"
        import ray

        from tellapart.inference import Classifier

        with tempfile.TemporaryDirectory() as folder:
            for name, content in ray.get(parcel[0]).items():
                (Path(folder) / name).write_bytes(content)
            self._classifier, self._views = Classifier.load(folder), views
        if (found := self._classifier.runtime.name) != runtime_name:
            raise CallError(
                f"a worker would predict with {found}, this machine with {runtime_name}, whose last digits differ. "
                "Set TELLAPART_RUNTIME=onnxruntime for all, or take machines of one kind."
            )

    def __call__(self, block: Any) -> Any:
        """The predictions (N rows of JSON) of a block of N paths, both Arrow tables."""
        import pyarrow

        from tellapart.bulk.remote import predict_any

        paths = [path.decode(errors="surrogatepass") for path in block[PATH].to_pylist()]
        answers = [json.dumps(one.to_json()).encode() for one in predict_any(self._classifier, paths, tta=self._views)]
        return pyarrow.table({ANSWER: pyarrow.array(answers, pyarrow.binary())})


def predict_on_cluster(
    classifier: Classifier, paths: Iterable[str], *, address: str, views: tuple[str, ...]
) -> Iterator[Prediction]:
    """A prediction for each path, in order, computed on the cluster at `address`, or by all cores here ("local").

    The classifier travels to the workers; paths of files must mean the same there. Raises MissingExtraError without Ray,
    CallError beside a session of Ray's that is there already, and StorageError where the cluster cannot be reached or cannot do
    the work.
    """
    from tellapart.inference import Prediction
    from tellapart.inference.manifests import FILE_NAME as MANIFEST

    with _connected(address) as ray:
        folder = classifier.folder
        files = {name: (folder / name).read_bytes() for name in (MANIFEST, *classifier.manifest.files)}
        blocks = [ray.put(block) for block in _blocks(paths)]
        if not blocks:
            return
        parcel = [ray.put(files)]  # held here, so that a worker that takes a lost one's place finds it
        for batch in _answers(ray, blocks, (parcel, views, classifier.runtime.name)):
            for answer in batch[ANSWER].to_pylist():
                facts = json.loads(answer)
                yield Prediction(**facts | {"labels": tuple(facts["labels"])})


def _answers(ray: Any, blocks: list[Any], about: tuple[Any, ...]) -> Iterator[Any]:
    """The answers to the blocks, in order. Raises StorageError."""
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = context.print_on_execution_start = False
    n_cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
    pool = ray.data.ActorPoolStrategy(min_size=min(n_cores, len(blocks)), max_size=len(blocks))
    answers = ray.data.from_arrow_refs(blocks).map_batches(
        Worker, fn_constructor_args=about, compute=pool, num_cpus=1, batch_size=None, batch_format="pyarrow"
    )
    try:
        yield from answers.iter_batches(batch_size=None, batch_format="pyarrow")
    except Exception as error:  # of Ray, of Ray Data, or what a worker raised
        raise _failed(error) from error


def _blocks(paths: Iterable[str]) -> Iterator[Any]:
    """The paths as Arrow tables of at most BLOCK_ROWS."""
    import pyarrow

    rest = iter(paths)
    while some := [encoded(path) for path in islice(rest, BLOCK_ROWS)]:
        yield pyarrow.table({PATH: pyarrow.array(some, pyarrow.binary())})


def _failed(error: Exception) -> StorageError:
    """What a worker's end means for the user: an error of ours keeps its text."""
    ours = re.findall(r"^tellapart\.errors\.\w+: (.*)", str(error), re.MULTILINE)
    said = ours[-1] if ours else (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return StorageError(f"the cluster cannot do the work: {said}")


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected to the cluster at `address` until the work is done.

    Raises MissingExtraError, CallError beside another session, and StorageError.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone who was not asked
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("--cluster", "cluster") from error
    _refuse_unreachable(address)
    if ray.is_initialized():
        raise CallError("this process has a Ray session already, which would be lost. Call ray.shutdown() first.")
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # Ray tells of its plans at length, and of errors with all that led to them
    of_here = {"num_cpus": n_threads(), "include_dashboard": False} if address == HERE else {}
    try:
        try:
            ray.init(address=address, log_to_driver=False, **of_here)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise _unreachable(address, error) from error
        yield ray
    finally:
        ray.shutdown()
        logging.disable(disabled)


def _refuse_unreachable(address: str) -> None:
    """Raise StorageError where nobody listens: Ray itself would go on trying for many minutes."""
    if (place := re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:([0-9]{1,5})", address)) is None:
        return
    try:
        socket.create_connection((place[1], int(place[2])), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> StorageError:
    reason = getattr(error, "strerror", None) or (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".: ")
    return StorageError(f"the cluster {address!r} cannot be reached: {reason}. --cluster local starts one here.")
