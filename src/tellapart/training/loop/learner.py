"""`Learner`: a network, its loss and its optimizer, which take in batches and move the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch

from tellapart.errors import TellapartError
from tellapart.training.loop.as_one import as_one
from tellapart.training.loop.averages import Average
from tellapart.training.loop.devices import precision_context, to_device, uses_bfloat16
from tellapart.training.loop.examples import Batch, Examples, Network
from tellapart.training.loop.freezing import unfreeze
from tellapart.training.loop.losses import make_loss, plain_loss
from tellapart.training.loop.optimizers import make_optimizer, set_rate
from tellapart.training.loop.processes import n_processes, of_first, parallel, share, summed
from tellapart.training.recipe import Recipe

Tensors = dict[str, torch.Tensor]


class Learner:
    """Trains `network` where it lies (its device), with the recipe's loss, optimizer, precision and mean of weights."""

    def __init__(
        self, network: Network, recipe: Recipe, *, several: bool = False, class_weights: torch.Tensor | None = None
    ) -> None:
        self.network: Network = network.to(memory_format=torch.channels_last)
        self.device = next(network.parameters()).device
        self.optimizer = make_optimizer(network, recipe)
        self.average = Average(network, recipe.ema) if recipe.ema else None
        self.best: Tensors = {}
        self.recipe, self.several = recipe, several
        self._bfloat16 = uses_bfloat16(recipe, self.device)
        self._loss = make_loss(recipe, several=several, class_weights=class_weights)
        self._plain_loss = plain_loss(several=several)
        self._alone: Any = torch.compile(network) if recipe.compile else network
        self._together: Any = self._alone

    def begin_pass(self, epoch: int) -> None:
        """Make the network ready for epoch number `epoch` (the first is 0): which layers learn, which statistics follow."""
        unfreeze(self.network, self.recipe, epoch)
        self._together = parallel(self._alone, self.device)  # anew: it keeps what has gradients

    def take_in(self, batch: Batch, *, n_rows: int, is_last: bool) -> float:
        """Add the gradients of a batch, one of those whose `n_rows` rows in all make a move; `is_last` of them or not.

        Returns the sum of its losses, over all processes.
        """
        targets = batch.targets.to(self.device)
        with self._gathering(is_last=is_last):
            with as_one():
                logits = self._logits(self._together, batch.inputs)
            losses = self._loss(logits, targets)
            if batch.weights is not None:
                losses = losses * batch.weights.to(self.device)
            (losses.sum() * (n_processes() / n_rows)).backward()  # type: ignore[no-untyped-call]  # processes take a mean
        return summed([losses.detach().sum().item()], self.device)[0]

    def move(self, rate: float) -> None:
        """Move the weights along the gathered gradients, the head at this rate, and forget them."""
        set_rate(self.optimizer, rate)
        self.optimizer.step()
        self.forget()
        if self.average:
            self.average.update()

    def forget(self) -> None:
        """Drop the gathered gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def judge(self, held: Examples, size: int) -> tuple[float, float]:
        """The mean loss, without smoothing, and the accuracy on all held-back examples, each counted once."""
        sums = [0.0, 0.0, 0.0]  # losses, right answers, weights
        self.network.eval()
        with self._averaged(), torch.inference_mode():
            for batch in held.batches(0, size, **share()):
                if not len(batch.inputs):  # of the last batch there may be no row for each process
                    continue
                logits, targets = self._logits(self._alone, batch.inputs), batch.targets.to(self.device)
                weights = torch.ones(len(targets)) if batch.weights is None else batch.weights
                values = torch.stack([self._plain_loss(logits, targets), _right(logits, targets, several=self.several)]).double()
                weighted = values @ weights.to(self.device).double()
                sums = [old + new for old, new in zip(sums, [*weighted.tolist(), weights.sum().item()], strict=True)]
        loss, right, n = summed(sums, self.device)
        return loss / n, right / n

    def agreed(self, value: float) -> float:
        """The value of the first of several processes, so that all decide alike: each has a clock of its own."""
        return of_first(value, self.device)

    def remember(self) -> None:
        """Keep the weights as they are, or their mean where there is one, as the best."""
        with self._averaged():
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}

    def recall(self) -> None:
        """Let the network have the best weights."""
        self.network.load_state_dict(self.best)
        self.network.eval()
        self.network.requires_grad_(requires_grad=True)

    def _logits(self, forward: Any, inputs: torch.Tensor) -> torch.Tensor:
        with precision_context(self.device, bfloat16=self._bfloat16), _compiling(wanted=self.recipe.compile):
            logits: torch.Tensor = forward(to_device(inputs, self.device))
        return logits.float()

    def _gathering(self, *, is_last: bool) -> AbstractContextManager[Any]:
        """Processes exchange their gradients at the last batch before a move alone."""
        if is_last or n_processes() == 1:
            return nullcontext()
        return cast(AbstractContextManager[Any], self._together.no_sync())

    def _averaged(self) -> AbstractContextManager[None]:
        return self.average.in_place() if self.average and self.average.n_steps else nullcontext()


@contextmanager
def _compiling(*, wanted: bool) -> Iterator[None]:
    """Say what to do where torch.compile fails, as it does without a C++ compiler."""
    try:
        yield
    except Exception as error:
        if not (wanted and type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))):
            raise
        reason = " ".join(str(error).split())[:200]
        raise TellapartError(f"torch.compile cannot compile the network ({reason}). Train without `compile`.") from error


def _right(logits: torch.Tensor, targets: torch.Tensor, *, several: bool) -> torch.Tensor:
    """(n,) float: 1 where the class is right; of several labels the part of right answers."""
    if several:
        return ((logits > 0) == (targets > 0.5)).float().mean(dim=1)
    labels = targets.argmax(dim=1) if targets.ndim == 2 else targets
    return (logits.argmax(dim=1) == labels).float()
