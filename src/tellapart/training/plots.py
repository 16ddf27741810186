"""What a training looked like: curves of loss, accuracy and rate, the sweep of rates, and a page of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tellapart.files import write_atomically
from tellapart.pages import page_environment
from tellapart.training.charts import TEMPLATES, Axis, Chart, Line, Mark, spanning, svg
from tellapart.training.loop.logs import Epoch, best_epoch
from tellapart.words import counted

PAGE_FILE = "training.html"
SWEEP_HEADROOM = (
    0.5  # of the fall of the losses, shown above where they begin: what diverges beyond says no more than that it does
)


class Sweep(Protocol):
    """Losses at rates that rise, and the rates that follow from them; `RateSweep` is one."""

    @property
    def rates(self) -> Sequence[float]: ...
    @property
    def losses(self) -> Sequence[float]: ...
    @property
    def steepest(self) -> float: ...
    @property
    def valley(self) -> float: ...
    @property
    def suggestion(self) -> float: ...


def write_page(
    history: Sequence[Epoch], path: Path, *, title: str, sweep: Sweep | None = None, notes: Sequence[str] = ()
) -> None:
    """Write the curves, the sweep where there was one, and a table of the epochs as one HTML page that needs nothing else.

    Raises StorageError where it cannot be written.
    """
    charts = [*training_charts(history), *([sweep_chart(sweep)] if sweep else [])]
    template = page_environment(TEMPLATES).get_template("training.html.j2")
    page = template.render(
        title=title,
        summary=_summary(history, sweep),
        charts=[svg(chart) for chart in charts],
        history=history,
        kept=best.number if (best := best_epoch(history)) else 0,
        notes=list(notes),
    )
    write_atomically(path, page.encode("utf-8", "backslashreplace"))


def training_charts(history: Sequence[Epoch]) -> list[Chart]:
    """Charts of the loss, the accuracy and the rate over the epochs; none without an epoch."""
    if not history:
        return []
    best = best_epoch(history)
    across = Axis("epoch", min(0.5, history[0].number - 0.5), history[-1].number + 0.5, is_whole=True)
    losses = [loss for epoch in history for loss in (epoch.train_loss, epoch.valid_loss)]
    valid = _line("validation", "valid", [(epoch.number, epoch.valid_loss) for epoch in history])
    train = _line("training", "train", [(epoch.number, epoch.train_loss) for epoch in history])
    right = _line("validation", "valid", [(epoch.number, epoch.valid_accuracy) for epoch in history])
    rates = _line("of the head", "valid", [(epoch.number, epoch.rate) for epoch in history])
    up = spanning(losses, name="loss")
    marks = (
        [(Mark(f"best: epoch {best.number}", (best.number, y)),) for y in (best.valid_loss, best.valid_accuracy)]
        if best
        else [(), ()]
    )
    top = max(history, key=lambda epoch: epoch.valid_accuracy)
    accuracy_text = f"the most are {_percent(top.valid_accuracy)} after epoch {top.number}"
    shares = spanning([epoch.valid_accuracy for epoch in history], name="right", is_percent=True)
    return [
        Chart("loss", "Loss", _course("validation loss", valid), across, up, (valid, train), marks[0]),
        Chart("accuracy", "Right answers", f"Over the epochs; {accuracy_text}.", across, shares, (right,), marks[1]),
        Chart(
            "rate", "Learning rate", _course("rate", rates), across, spanning([y for _, y in rates.points], name="rate"), (rates,)
        ),
    ]


def sweep_chart(sweep: Sweep) -> Chart:
    """The losses of a sweep over its rates, with the rates that follow from them; what diverges leaves the chart."""
    losses = [loss for loss in sweep.losses if math.isfinite(loss)] or [1.0]
    lowest, ceiling = min(losses), losses[0] + SWEEP_HEADROOM * max(losses[0] - min(losses), 1e-3)
    up = spanning([lowest, min(max(losses), ceiling)], name="loss")
    across = spanning(sweep.rates, name="learning rate", is_log=True, margin=0.02)
    line = _line("smoothed loss of the step", "valid", list(zip(sweep.rates, sweep.losses, strict=True)))
    names: dict[float, str] = {}
    for name, rate in (("steepest", sweep.steepest), ("valley", sweep.valley), ("suggested", sweep.suggestion)):
        names[rate] = f"{names[rate]}, {name}" if rate in names else name
    marks = tuple(Mark(f"{name}: {rate:.2g}", (rate, _loss_at(sweep, rate))) for rate, name in names.items())
    text = f"Loss at rates from {sweep.rates[0]:.1g} to {sweep.rates[-1]:.1g}; suggested: {sweep.suggestion:.2g}."
    return Chart("sweep", "Sweep of learning rates", text, across, up, (line,), marks)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _line(name: str, kind: str, points: Sequence[tuple[float, float]]) -> Line:
    return Line(name, kind, tuple(points))


def _course(what: str, line: Line) -> str:
    (first, start), (last, end) = line.points[0], line.points[-1]
    return f"The {what} goes from {start:.4g} in epoch {first:.0f} to {end:.4g} in epoch {last:.0f}."


def _loss_at(sweep: Sweep, rate: float) -> float:
    place = min(range(len(sweep.rates)), key=lambda i: abs(math.log(sweep.rates[i]) - math.log(rate)))
    return sweep.losses[place]


def _summary(history: Sequence[Epoch], sweep: Sweep | None) -> str:
    if sweep and not history:
        return f"A sweep of rates, nothing trained. Steepest: {sweep.steepest:.2g}; valley: {sweep.valley:.2g}."
    if not history:
        return "No epoch was finished."
    best, last = best_epoch(history), history[-1]
    pictures = f": {last.n_pictures:,} pictures seen, {last.n_pictures / last.seconds:,.0f} a second" if last.seconds > 0 else ""
    kept = (
        f"epoch {best.number}, {_percent(best.valid_accuracy)} of the validation pictures right" if best else "what it began from"
    )
    return f"{counted(len(history), 'epoch')} in {last.seconds:,.1f} s{pictures}. Kept: {kept}."
