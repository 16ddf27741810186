"""Training a few batches to learn something about it, without leaving a trace in the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice

from tellapart.errors import TellapartError
from tellapart.training.loop.devices import is_out_of_memory, own_randomness, seed_randomness
from tellapart.training.loop.examples import Batch, Examples, Network
from tellapart.training.loop.learner import Learner
from tellapart.training.loop.moves import refuse_small_batches
from tellapart.training.loop.processes import share


@contextmanager
def undisturbed(network: Network) -> Iterator[None]:
    """After it, the network has the weights, the gradients wanted, the mode and nothing of the randomness that it had before."""
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    wanted = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    modes = [(module, module.training) for module in network.modules()]
    try:
        with own_randomness(next(network.parameters()).device):
            yield
    finally:
        network.load_state_dict(weights)
        for parameter, wants in wanted:
            parameter.requires_grad_(wants)
            parameter.grad = None
        for module, mode in modes:
            module.training = mode


def endless(examples: Examples, size: int) -> Iterator[Batch]:
    """Batches of pass after pass, without a last one that is smaller where there are others."""
    whole = max(examples.n // size, 1)
    for epoch in count():
        yield from islice(examples.batches(epoch, size, **share()), whole)


def try_steps(learner: Learner, examples: Examples, rates: list[float], size: int) -> Iterator[float]:
    """The mean loss of a batch before each move, one move at each of these rates.

    Raises TellapartError where the memory does not suffice for one batch, CallError and DataError as `learn` does.
    """
    refuse_small_batches(learner.network, learner.recipe, examples.n, size)
    seed_randomness(learner.recipe.seed, learner.device)
    learner.begin_pass(len(learner.network.layer_groups()))  # all of them learn
    for rate, batch in zip(rates, endless(examples, size), strict=False):
        n_rows = min(size, examples.n)
        try:
            loss = learner.take_in(batch, n_rows=n_rows, is_last=True) / n_rows
            learner.move(rate)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            half = max(size // 2, 1)
            raise TellapartError(f"out of memory with a batch of {size}. Choose half of it: --batch {half}") from error
        yield loss
