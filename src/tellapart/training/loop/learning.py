"""The training loop: `for epoch in learn(network, examples, held, recipe, lr=0.003, epochs=5): print(epoch)`."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tellapart.errors import DataError
from tellapart.progress import Progress, silent
from tellapart.training.loop.checkpoints import load_checkpoint, save_checkpoint
from tellapart.training.loop.devices import own_randomness
from tellapart.training.loop.examples import Examples, Network
from tellapart.training.loop.learner import Learner
from tellapart.training.loop.logs import Epoch, write_logs
from tellapart.training.loop.moves import Moves, refuse_small_batches, smallest_batch
from tellapart.training.loop.processes import rank, refuse_disagreement
from tellapart.training.loop.schedules import Clock
from tellapart.training.loop.states import State
from tellapart.training.recipe import Recipe

__all__ = ["DEFAULT_BATCH", "SAVE_S", "Epoch", "learn"]

DEFAULT_BATCH = 128
SAVE_S = 30.0  # between two checkpoints within an epoch
SAVE_PART = 0.05  # of the time, at most, that goes into them
Note = Callable[[str], None]


def learn(
    network: Network,
    examples: Examples,
    held: Examples,
    recipe: Recipe,
    *,
    lr: float,
    epochs: int,
    deadline: float | None = None,
    folder: Path | None = None,
    progress: Progress = silent,
    note: Note | None = None,
    several: bool = False,
    class_weights: torch.Tensor | None = None,
    save_s: float = SAVE_S,
) -> Iterator[Epoch]:
    """Train `network` where it lies, an epoch at a time; after the last it holds the weights that did best on `held`.

    `lr` is the head's highest rate. `epochs` is how many at most; with a `deadline` (in time.monotonic()) the rate comes down
    in time and the last epoch may be cut short. With a `folder` it keeps a log and a checkpoint there, and goes on from the
    checkpoint that it finds: the epochs before it come first, and on a CPU with as many threads the weights are, bit by bit,
    those of a training that was not stopped. `note` is called with each sentence that a person should read. `several`: targets
    are (n, K) zeros and ones, several labels a picture. `class_weights` (K,) are 1 in the mean of the examples. No epoch comes
    back where there was no time for one or the first diverged: then the network is as it was.

    Raises CallError (a batch too small for batch-norm, a checkpoint of another training), DataError (too few pictures),
    BundleError (a damaged checkpoint), StorageError, TellapartError (out of memory with the smallest batch).
    """
    learner = Learner(network, recipe, several=several, class_weights=class_weights)
    refuse_small_batches(network, recipe, examples.n, recipe.batch or DEFAULT_BATCH)
    if held.n == 0:
        raise DataError("no picture is held back to judge the network on. Hold some back: --valid 0.2")
    plan = _plan(network, examples, held, recipe, lr=lr, epochs=epochs, several=several, class_weights=class_weights)
    keeper = _Keeper(folder, learner, plan, note, every_s=save_s)
    state = keeper.state
    clock = Clock(deadline, seconds=state.seconds, progress=state.progress)
    moves = Moves(learner, examples, lr, epochs, clock, held.n, smallest_batch(network, recipe))
    moves.say_what_is_left_out(state)
    state.progress = max(state.progress, learner.agreed(clock.progress(0.0, reserve_s=0.0)))  # 1 where the time is over already
    yield from list(state.history)
    while state.epoch < epochs and state.progress < 1 and not state.is_over:
        with own_randomness(learner.device):
            for _ in moves.in_pass(state):
                _show(progress, state, clock, n=examples.n * epochs)
                keeper.save_if_due()
        if state.n_seen == 0:
            break
        began_s = clock.seconds
        loss, accuracy = (math.nan, 0.0) if state.trend.diverges else learner.judge(held, state.size)
        state.seconds = clock.seconds
        moves.judging_s = state.seconds - began_s
        if state.trend.is_absurd(loss):
            state.notes.append(_divergence(state, loss if math.isfinite(loss) else state.trend.smooth, lr))
            break
        epoch = state.end_pass(loss, accuracy)
        if epoch.is_best:
            learner.remember()
        state.is_over = 0 < recipe.patience <= state.waited()
        keeper.save()
        yield epoch
    learner.recall()
    if state.n_pictures:  # else there was no time, and there may be some when it is called again
        keeper.close()
    _show(progress, state, clock, n=examples.n * epochs)


def _plan(network: Network, examples: Examples, held: Examples, recipe: Recipe, **choices: Any) -> dict[str, Any]:
    """What a checkpoint must have been made with to go on from it: all but the time."""
    shapes = [(name, list(tensor.shape)) for name, tensor in network.state_dict().items()]
    weights = choices.pop("class_weights")
    return {
        **{name: value for name, value in recipe.to_json().items() if name != "budget_s"},
        **choices,
        "class_weights": None if weights is None else weights.tolist(),
        "pictures": examples.n,
        "pictures held back": held.n,
        "network": hashlib.sha256(repr(shapes).encode()).hexdigest()[:12],
    }


def _show(progress: Progress, state: State, clock: Clock, *, n: int) -> None:
    """Pictures of all epochs, or seconds where time is short; all of them only when all is done."""
    total = n if clock.total_s is None else round(clock.total_s)
    done = total if state.is_over else min(round(state.progress * total), total - 1)
    if rank() == 0:
        progress("training", done, total)


def _divergence(state: State, loss: float, lr: float) -> str:
    kept = f"the network of epoch {state.best.number} is kept" if state.best else "the network is as it was before"
    return (
        f"The training diverged in epoch {state.epoch + 1} (loss {loss:.3g}, at first {state.trend.first:.3g}) "
        f"and was stopped; {kept}. The rate {lr:.3g} is too high: "
        f"choose a quarter of it, --lr {lr / 4:.3g}, or have one suggested: --find-lr."
    )


class _Keeper:
    """Keeps the state of a training in its folder, if it has one, and says its notes once."""

    def __init__(self, folder: Path | None, learner: Learner, plan: dict[str, Any], note: Note | None, *, every_s: float) -> None:
        self._folder, self._learner, self._plan, self._note, self._every_s = folder, learner, plan, note, every_s
        self._n_said, self._saved, self._cost_s = 0, time.monotonic(), 0.0
        found = load_checkpoint(folder, learner, plan) if folder else None
        if found is None:
            learner.remember()
        self.state = found or State(plan["batch"] or DEFAULT_BATCH, plan["accumulate"])
        refuse_disagreement("checkpoint", self.state.n_pictures + self.state.epoch, learner.device)

    def save_if_due(self) -> None:
        self._speak()
        if time.monotonic() - self._saved >= max(self._every_s, self._cost_s / SAVE_PART):
            self.save()

    def save(self) -> None:
        self._speak()
        if self._folder and rank() == 0:
            began = time.monotonic()
            save_checkpoint(self._folder, self._learner, self.state, self._plan)
            write_logs(self._folder, self.state.history)
            self._cost_s = time.monotonic() - began
        self._saved = time.monotonic()

    def close(self) -> None:
        """Mark the training as over; its best weights stay in the checkpoint."""
        self.state.is_over = True
        self.save()

    def _speak(self) -> None:
        for text in self.state.notes[self._n_said :]:
            if self._note and rank() == 0:
                self._note(text)
        self._n_said = len(self.state.notes)
