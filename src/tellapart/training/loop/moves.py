"""The moves of the weights in one pass over the examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from tellapart.errors import CallError, DataError, TellapartError
from tellapart.training.loop.devices import is_out_of_memory, seed_randomness
from tellapart.training.loop.examples import Batch, Examples, Network
from tellapart.training.loop.freezing import has_live_norms
from tellapart.training.loop.learner import Learner
from tellapart.training.loop.processes import n_processes, rank, share
from tellapart.training.loop.schedules import SCHEDULES, Clock
from tellapart.training.loop.states import State
from tellapart.training.recipe import Recipe

JUDGING_PART = 0.5  # of a training step's time a row takes to judge, until that was measured: no backward pass; a guess


@dataclass
class Moves:
    """What a pass needs besides `State`: who learns, from what, at which rate and by which clock."""

    learner: Learner
    examples: Examples
    lr: float
    epochs: int
    clock: Clock
    n_held: int
    smallest: int  # rows of a batch that can be learned from
    judging_s: float | None = None  # the last time it took; None: not yet known

    def in_pass(self, state: State) -> Iterator[None]:
        """Move the weights batch by batch to the end of the pass or of the time, keeping `state` true; pauses after each move.

        Where the device's memory is full, the batch is halved and twice as many make a move. Raises TellapartError where that
        does not help.
        """
        self.learner.begin_pass(state.epoch)
        self._start_s, self._start_rows = self.clock.seconds, state.n_seen
        while self._is_going_on(state):
            error = None
            try:
                yield from self._at_size(state)
            except (RuntimeError, MemoryError) as raised:
                if not is_out_of_memory(raised):
                    raise
                error = str(raised)
            if error is not None:  # out of the except block, so that what the failed batch held is free
                self._halve(state, error)

    def n_batches(self, size: int) -> int:
        """How many batches of a pass are learned from: not a last one that is too small."""
        whole, rest = divmod(self.examples.n, size)
        return whole + (rest >= self.smallest)

    def say_what_is_left_out(self, state: State) -> None:
        """Add a note where a pass ends in a batch that is too small."""
        rest = self.examples.n % state.size
        if rest and rest < self.smallest and not state.notes:
            left_out = "1 picture, another one each time, is" if rest == 1 else f"{rest} pictures, others each time, are"
            state.notes.append(f"In each epoch {left_out} left out: the last batch would be too small.")

    def _is_going_on(self, state: State) -> bool:
        return state.batch < self.n_batches(state.size) and state.progress < 1 and not state.trend.diverges

    def _at_size(self, state: State) -> Iterator[None]:
        batches = self._seeded_batches(state)
        size, n_batches = state.size, self.n_batches(state.size)
        while self._is_going_on(state):
            first, last = state.batch, min(state.batch + state.accumulate, n_batches)
            n_rows = min(self.examples.n, last * size) - first * size
            began_s, loss_sum = self.clock.seconds, 0.0
            for number, batch in enumerate(islice(batches, last - first), start=first):
                loss_sum += self.learner.take_in(batch, n_rows=n_rows, is_last=number == last - 1)
            state.rate = self.lr * SCHEDULES[self.learner.recipe.schedule](state.progress)
            self.learner.move(state.rate)
            state.add(rows=n_rows, loss_sum=loss_sum, batches=last - first)
            state.seconds = self.clock.seconds
            state.progress = self._progress(state, move_s=state.seconds - began_s)
            yield

    def _seeded_batches(self, state: State) -> Iterator[Batch]:
        """The pass's batches from where it stands; what torch draws after each follows from seed, epoch and number."""
        batches = self.examples.batches(state.epoch, state.size, first=state.batch, **share())
        number = state.batch
        while True:
            words = [self.learner.recipe.seed, state.epoch, number]  # alike in several processes: see `as_one`
            seed_randomness(int(np.random.SeedSequence(words).generate_state(1)[0]), self.learner.device)
            if (batch := next(batches, None)) is None:
                return
            yield batch
            number += 1

    def _progress(self, state: State, *, move_s: float) -> float:
        rows = min(state.batch * state.size, self.examples.n) if state.batch < self.n_batches(state.size) else self.examples.n
        steps = (state.epoch + rows / self.examples.n) / self.epochs
        progress = max(state.progress, self.clock.progress(steps, reserve_s=move_s + self._judging_s(state)))
        return self.learner.agreed(progress)

    def _judging_s(self, state: State) -> float:
        """Seconds that judging will take: as the last time, before that guessed from the speed of the moves."""
        if self.judging_s is not None:
            return self.judging_s
        per_row_s = (self.clock.seconds - self._start_s) / max(state.n_seen - self._start_rows, 1)
        return JUDGING_PART * per_row_s * self.n_held

    def _halve(self, state: State, error: str) -> None:
        self.learner.forget()
        if n_processes() > 1:  # the others wait for this one's gradients
            raise CallError(f"process {rank()} is out of memory: choose a smaller --batch than {state.size} ({error})")
        if state.size // 2 < self.smallest:
            raise TellapartError(f"out of memory with a batch of {state.size}: choose a smaller size or network ({error})")
        state.halve_batch()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        state.notes.append(
            f"Out of memory: from epoch {state.epoch + 1} on the batch is {state.size}, and {state.accumulate} make a step."
        )


def smallest_batch(network: Network, recipe: Recipe) -> int:
    """How many rows a batch must have: one for each process, and two with batch-norm that follows the batches."""
    return max(n_processes(), 2 if has_live_norms(network, recipe) else 1)


def refuse_small_batches(network: Network, recipe: Recipe, n: int, size: int) -> None:
    """Raise CallError where batches of `size`, DataError where `n` pictures are too few for the network to learn from."""
    smallest = smallest_batch(network, recipe)
    if n < smallest:
        raise DataError(f"{n} pictures to learn from; at least {smallest} are needed. Add pictures.")
    if size < smallest:
        reason = "a network with batch-norm" if smallest > n_processes() else f"{n_processes()} processes"
        raise CallError(f"a batch of {size} is too small for {reason}. Choose --batch {smallest} or more.")
