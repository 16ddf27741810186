"""Sending epochs to TensorBoard and MLflow, where these are installed. Neither is needed, and neither can stop a training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tellapart.errors import CallError, StorageError, unknown_name
from tellapart.files import write_atomically
from tellapart.training.loop.logs import Epoch

FIGURES = ("train_loss", "valid_loss", "valid_accuracy", "rate", "seconds", "n_pictures", "batch")
TENSORBOARD_FOLDER = "tensorboard"  # within the run
MLFLOW_FILE = "mlflow-run.txt"  # within the run: the id of MLflow's, so that a resumed training goes on in it

Send = Callable[[Epoch], None]
Opened = tuple[Send, str]  # and a sentence that says where it can be seen


class Tracking:
    """Sends epochs to several trackers. One that fails is given up, with a sentence in `notes`; the training goes on."""

    def __init__(self, senders: Mapping[str, Send], places: Sequence[str] = ()) -> None:
        """`places` are sentences that say where what is sent can be seen."""
        self._senders = dict(senders)
        self.notes: tuple[str, ...] = tuple(places)

    def log(self, epoch: Epoch) -> None:
        """Send the figures of an epoch."""
        for name, send in list(self._senders.items()):
            try:
                send(epoch)
            except Exception as error:  # of a server, a disk or a client: each tracker has kinds of its own
                del self._senders[name]
                self.notes += (
                    f"{name} got nothing from epoch {epoch.number} on ({_first_line(error)}); log.csv has every epoch",
                )


@contextmanager
def tracking(names: Sequence[str], run: Path, choices: Mapping[str, Any]) -> Iterator[Tracking]:
    """Trackers by name, "tensorboard" and "mlflow", to be told of each epoch; without names they are told nothing.

    TensorBoard's files go to the run's folder; MLflow's go where $MLFLOW_TRACKING_URI says, by default to a
    database in the current folder, where its runs can be compared.
    `choices` are the recipe's fields. In a run that is gone on with, what was sent before is not sent twice. Raises as
    `refuse_absent_trackers`, and StorageError for one that does not answer.
    """
    refuse_absent_trackers(names)
    with ExitStack() as stack:
        senders, places = dict[str, Send](), list[str]()
        for name in dict.fromkeys(names):
            try:
                senders[name], place = stack.enter_context(TRACKERS[name](run, choices))
            except Exception as error:  # as above
                raise StorageError(
                    f"{name} cannot be written to: {_first_line(error).rstrip('.')}. Mend that, or leave it out."
                ) from error
            places.append(place)
        yield Tracking(senders, places)


def refuse_absent_trackers(names: Sequence[str]) -> None:
    """Raise CallError for an unknown tracker and one that is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise unknown_name("tracker", name, TRACKERS)
        if find_spec(name) is None:
            raise CallError(f"the tracker {name!r} is not installed: pip install {name}. Without it log.csv has every epoch.")


@contextmanager
def _tensorboard(run: Path, _choices: Mapping[str, Any]) -> Iterator[Opened]:
    from torch.utils.tensorboard import SummaryWriter  # imports torch and tensorboard

    writers = list[SummaryWriter]()

    def send(epoch: Epoch) -> None:
        if not writers:  # what a killed training had sent beyond its last checkpoint is hidden
            writers.append(SummaryWriter(str(run / TENSORBOARD_FOLDER), purge_step=epoch.number))
        for name, value in _figures(epoch).items():
            writers[0].add_scalar(name, value, epoch.number)
        writers[0].flush()

    try:
        yield send, f"TensorBoard shows the epochs: tensorboard --logdir {run / TENSORBOARD_FOLDER}"
    finally:
        for writer in writers:
            writer.close()


@contextmanager
def _mlflow(run: Path, choices: Mapping[str, Any]) -> Iterator[Opened]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would call its makers
    mlflow: Any = import_module("mlflow")  # untyped, and in no extra of ours

    kept = run / MLFLOW_FILE
    is_resumed = kept.is_file()
    with mlflow.start_run(run_id=kept.read_text() if is_resumed else None, run_name=run.name) as started:
        if not is_resumed:
            write_atomically(kept, started.info.run_id)
            mlflow.log_params(dict(choices))

        run_id = started.info.run_id
        sent = {one.step for one in mlflow.MlflowClient().get_metric_history(run_id, FIGURES[0])}

        def send(epoch: Epoch) -> None:
            if epoch.number not in sent:  # a resumed training tells of its first epochs again
                mlflow.log_metrics(_figures(epoch), step=epoch.number)

        yield send, f"MLflow keeps the epochs as run {run_id} in {mlflow.get_tracking_uri()}"


def _figures(epoch: Epoch) -> dict[str, float]:
    return {name: float(getattr(epoch, name)) for name in FIGURES}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


TRACKERS: dict[str, Callable[[Path, Mapping[str, Any]], AbstractContextManager[Opened]]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
}
