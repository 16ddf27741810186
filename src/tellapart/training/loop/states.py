"""Where a training stands, beside its tensors; and whether it goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tellapart.training.loop.logs import Epoch, best_epoch

RISEN = 4.0  # times the lowest loss: it diverges; fastai stops its sweep of rates there
START_PART = 0.8  # of the loss at the start: below it a loss that has risen from nearly nothing is no divergence; a guess
ABSURD = 1000.0  # times the first loss, or times 1 where that is less: no step comes back from there; a guess
WARM_UP_STEPS = 10  # before a rise counts; a guess
MEMORY = 0.9  # of the smoothed loss, a step


@dataclass
class Trend:
    """The smoothed loss of the steps."""

    n_steps: int = 0
    value: float = 0.0
    first: float = 0.0  # before any move
    start: float = 0.0  # smoothed, at the end of the warm-up's first half
    lowest: float | None = None

    def take_in(self, loss: float) -> None:
        self.n_steps += 1
        self.first = loss if self.n_steps == 1 else self.first
        self.value = MEMORY * self.value + (1 - MEMORY) * loss
        if self.n_steps <= WARM_UP_STEPS // 2:
            self.start = self.smooth
        if self.n_steps > WARM_UP_STEPS // 2:
            self.lowest = self.smooth if self.lowest is None else min(self.lowest, self.smooth)

    @property
    def smooth(self) -> float:
        """The mean of the last ten or so losses."""
        return self.value / (1 - MEMORY**self.n_steps) if self.n_steps else 0.0

    def is_absurd(self, loss: float) -> bool:
        """Whether a loss, of these steps or of held-back examples, is no number or so high that nothing can be left to keep."""
        return not loss <= ABSURD * max(self.first, 1.0)

    @property
    def diverges(self) -> bool:
        """Whether the loss is no number or absurd, has risen far from its lowest to where it began, or far above its first."""
        if self.is_absurd(self.smooth):
            return True
        if self.n_steps < WARM_UP_STEPS or self.lowest is None:
            return False
        return self.smooth > min(max(RISEN * self.lowest, START_PART * self.start), RISEN * max(self.first, 1.0))


@dataclass
class State:
    """Where a training stands. With the weights, their mean and the optimizer's memory, all that it needs to go on."""

    size: int  # rows of a batch
    accumulate: int  # batches of a move
    epoch: int = 0  # passes behind it
    batch: int = 0  # batches of the present pass behind it
    n_seen: int = 0  # examples learned from in this pass
    loss_sum: float = 0.0  # of them
    n_pictures: int = 0  # examples learned from in all
    progress: float = 0.0  # 0 to 1
    rate: float = 0.0  # of the last move
    seconds: float = 0.0
    is_over: bool = False
    trend: Trend = field(default_factory=Trend)
    history: list[Epoch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *, rows: int, loss_sum: float, batches: int) -> None:
        """Count what a move has learned from."""
        self.n_seen += rows
        self.n_pictures += rows
        self.loss_sum += loss_sum
        self.batch += batches
        self.trend.take_in(loss_sum / rows)

    def halve_batch(self) -> None:
        """Half as many rows a batch and twice as many batches a move, from where the pass stands."""
        rows_behind = self.batch * self.size
        self.size, self.accumulate = self.size // 2, self.accumulate * 2
        self.batch = rows_behind // self.size

    def end_pass(self, loss: float, accuracy: float) -> Epoch:
        """Close the pass: its row of the history, with what its weights did on the held-back examples."""
        train_loss = self.loss_sum / max(self.n_seen, 1)
        self.epoch += 1
        # Of equal ones the later: its rate has come further down. The loss does not decide: with smoothed labels it rises again.
        is_best = self.best is None or accuracy >= self.best.valid_accuracy
        row = Epoch(
            self.epoch, train_loss, loss, accuracy, self.rate, self.seconds, self.n_pictures, is_best=is_best, batch=self.size
        )
        self.batch, self.n_seen, self.loss_sum = 0, 0, 0.0
        self.history.append(row)
        return row

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights did best on the held-back examples."""
        return best_epoch(self.history)

    def waited(self) -> int:
        """How many passes have gone by since the lowest loss on the held-back examples."""
        losses = [row.valid_loss for row in self.history]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> State:
        rows = [Epoch(**row) for row in values["history"]]
        return cls(**{**values, "trend": Trend(**values["trend"]), "history": rows})
