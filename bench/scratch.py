"""Networks of ours on Fashion-MNIST, from scratch: the tutorials' CNN beside Keras and PyTorch, the compact one by the clock."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from measures import PEERS, answer, cached_in, read_all, wall
from processes import Finished, run_process
from results import Figure, Goal, Result
from setting import BENCH, Setting


@dataclass(frozen=True)
class Side:
    """One way to train, with its runs; run number n has seed n."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    runs: list[Finished] = field(default_factory=list)

    @property
    def first_epochs_s(self) -> tuple[float, ...]:
        return tuple(answer(run)["epoch_s"][0] for run in self.runs)

    @property
    def later_epochs_s(self) -> tuple[float, ...]:
        return tuple(seconds for run in self.runs for seconds in answer(run)["epoch_s"][1:])


def tutorial(setting: Setting) -> Iterator[Result]:
    """The tutorials' CNN: seconds an epoch and accuracy, ours, PyTorch's and Keras'; whole runs of the sides take turns."""
    pictures = setting.whole("fashion-mnist")
    read_all(pictures)
    ours, *peers = _sides(setting, str(pictures))
    limit = [] if setting.limit is None else [str(setting.limit)]
    for seed in range(setting.repeats):
        ours.runs.append(_ours(setting, ours.command, seed))
        for peer in peers:
            peer.runs.append(run_process([*peer.command, str(seed), *limit], env=peer.env))
    for side in (ours, *peers):
        yield from _side_results(side, setting)
    for peer in peers:
        ratio = statistics.median(peer.later_epochs_s) / statistics.median(ours.later_epochs_s)
        yield Figure("tutorial", f"an epoch: {peer.name} / tellapart", (ratio,), "")


def _sides(setting: Setting, pictures: str) -> list[Side]:
    sides = [Side("tellapart", (sys.executable, str(BENCH / "fashion.py"), "tutorial", pictures))]
    if setting.peer_repeats == 0:
        return sides
    sides.append(Side("PyTorch, eager float32", (str(setting.peer_python), str(PEERS / "torch_tutorial.py"), pictures)))
    keras = (str(setting.keras_python), str(PEERS / "keras_tutorial.py"), pictures)
    for name, backend in (("TensorFlow", "tensorflow"), ("JAX", "jax")):
        sides.append(Side(f"Keras on {name}", keras, {"KERAS_BACKEND": backend}))
    return sides


def _side_results(side: Side, setting: Setting) -> Iterator[Result]:
    command, n_train = setting.shown(side.runs[0].command), answer(side.runs[0])["n_train"]
    yield Figure("tutorial", f"{side.name}: an epoch of {n_train:,}, not the first", side.later_epochs_s, "s", command)
    yield Figure("tutorial", f"{side.name}: the first epoch", side.first_epochs_s, "s", command)
    yield wall("tutorial", f"{side.name}: whole process", side.runs, setting)
    yield from _accuracies("tutorial", side.name, side.runs)


def compact(setting: Setting) -> Iterator[Result]:
    """The compact network within each budget, which is for the whole process."""
    pictures = setting.whole("fashion-mnist")
    read_all(pictures)
    for budget_s in setting.budgets_s:
        name = f"budget {budget_s} s"
        command = (sys.executable, str(BENCH / "fashion.py"), "compact", str(pictures), "--budget", str(budget_s))
        runs = [_ours(setting, command, seed) for seed in range(setting.repeats)]
        yield from _accuracies("compact", name, runs)
        yield Figure("compact", f"{name}: epochs", tuple(float(len(answer(run)["epoch_s"])) for run in runs), "")
        yield wall("compact", f"{name}: whole process", runs, setting)
        yield Goal("compact", f"{name}: longest whole process, s", max(run.wall_s for run in runs), "at most", budget_s)


def _ours(setting: Setting, command: Sequence[str], seed: int) -> Finished:
    limit = [] if setting.limit is None else ["--limit", str(setting.limit)]
    return run_process([*command, "--seed", str(seed), *limit], env=cached_in(setting.fresh("cache")))


def _accuracies(measure: str, name: str, runs: Sequence[Finished]) -> Iterator[Result]:
    values = tuple(100 * answer(run)["accuracy"] for run in runs)
    yield Figure(measure, f"{name}: test accuracy (n = {answer(runs[0])['n_judged']:,}), a seed each", values, "%")
    yield Figure(measure, f"{name}: test accuracy, mean of {len(runs)}", (statistics.mean(values),), "%")
