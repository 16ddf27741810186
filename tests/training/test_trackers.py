from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from tellapart.errors import CallError, StorageError
from tellapart.training import Recipe
from tellapart.training.loop.logs import Epoch
from tellapart.training.trackers import FIGURES, MLFLOW_FILE, Tracking, tracking

HISTORY = tuple(Epoch(number, 2 / number, 1.8 / number, 0.2 * number, 0.01, 3.5 * number, 100, True, 32) for number in (1, 2, 3))
needs_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason="TensorBoard is not installed")
needs_mlflow = pytest.mark.skipif(find_spec("mlflow") is None, reason="MLflow is not installed")
is_theirs = pytest.mark.filterwarnings("ignore")  # what these packages say of their own dependencies


def send(names: tuple[str, ...], run: Path, history: tuple[Epoch, ...]) -> None:
    with tracking(names, run, Recipe().to_json()) as trackers:
        for epoch in history:
            trackers.log(epoch)
    assert len(trackers.notes) == len(names)
    assert all("epochs" in note for note in trackers.notes)


def test_without_names_nothing_is_sent(tmp_path: Path) -> None:
    send((), tmp_path, HISTORY)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_tracker_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"unknown tracker 'tensorbord'; did you mean 'tensorboard'\?"):
        send(("tensorbord",), tmp_path, HISTORY)


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="MLflow is installed")
def test_an_absent_tracker_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"the tracker 'mlflow' is not installed: pip install mlflow\. Without it log\.csv has"):
        send(("mlflow",), tmp_path, HISTORY)


def test_a_tracker_that_fails_is_given_up_and_the_training_goes_on() -> None:
    seen: list[int] = []

    def failing(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise ConnectionError("the server is gone\nand more")

    trackers = Tracking({"mlflow": failing, "tensorboard": lambda epoch: seen.append(epoch.number)})
    for epoch in HISTORY:
        trackers.log(epoch)
    assert seen == [1, 2, 3]
    assert trackers.notes == ("mlflow got nothing from epoch 2 on (the server is gone); log.csv has every epoch",)


@needs_tensorboard
@is_theirs
def test_tensorboard_reads_what_was_sent(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    send(("tensorboard",), tmp_path, HISTORY)
    resumed = tuple(replace(epoch, valid_loss=9.0) for epoch in HISTORY[1:])
    send(("tensorboard",), tmp_path, resumed)  # from the checkpoint after the first epoch
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(found.Tags()["scalars"]) == set(FIGURES)
    losses = [(one.step, one.value) for one in found.Scalars("valid_loss")]
    assert losses == [(1, pytest.approx(1.8)), (2, 9), (3, 9)]


@needs_mlflow
@is_theirs
def test_mlflow_reads_what_was_sent_and_a_resumed_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    import mlflow

    run = tmp_path / "flowers-1"
    send(("mlflow",), run, HISTORY[:2])
    send(("mlflow",), run, HISTORY)  # a resumed training tells of its first epochs again
    client = mlflow.MlflowClient()
    found = client.get_run((run / MLFLOW_FILE).read_text())
    assert (found.info.run_name, found.info.status) == ("flowers-1", "FINISHED")
    assert found.data.params["arch"] == "efficientnet_lite0"
    history = client.get_metric_history(found.info.run_id, "valid_accuracy")
    assert [(one.step, one.value) for one in history] == [(1, 0.2), (2, 0.4), (3, pytest.approx(0.6))]


@needs_mlflow
@is_theirs
def test_a_place_that_cannot_be_written_is_said_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(StorageError, match=r"mlflow cannot be written to: .*\. Mend that, or leave it out\."):
        send(("mlflow",), tmp_path / "run", HISTORY)
