from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tellapart.training.charts import svg
from tellapart.training.loop.logs import Epoch
from tellapart.training.plots import sweep_chart, training_charts, write_page

HISTORY = tuple(
    Epoch(
        number,
        2 / number,
        1.8 / number + 0.02 * number,
        0.5 + 0.04 * number,
        0.01 / number,
        3.5 * number,
        100 * number,
        number != 5,
        32,
    )
    for number in range(1, 6)
)


@dataclass(frozen=True)
class Rates:
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    steepest: float = 1e-3
    valley: float = 5e-3
    suggestion: float = 5e-3


def test_a_chart_each_for_loss_accuracy_and_rate() -> None:
    loss, accuracy, rate = training_charts(HISTORY)
    assert [chart.title for chart in (loss, accuracy, rate)] == ["Loss", "Right answers", "Learning rate"]
    assert [line.name for line in loss.lines] == ["validation", "training"]
    assert loss.lines[1].points == tuple((epoch.number, epoch.train_loss) for epoch in HISTORY)
    assert [mark.name for mark in loss.marks] == ["best: epoch 4"]
    assert accuracy.marks[0].at == (4, pytest.approx(0.66))
    assert accuracy.text == "Over the epochs; the most are 70.0 % after epoch 5."
    assert accuracy.up.ticks[0][1].endswith(" %")
    assert training_charts(()) == []


def test_a_single_epoch_and_a_diverged_one_are_drawn() -> None:
    lost = Epoch(2, math.nan, math.inf, 0.1, 0.01, 7, 200, False, 32)
    for history in (HISTORY[:1], (HISTORY[0], lost)):
        assert all("<polyline" in svg(chart) for chart in training_charts(history))


def test_the_sweep_names_its_suggestions_and_cuts_what_diverges() -> None:
    rates = tuple(10 ** (-5 + i / 10) for i in range(50))
    losses = tuple(2 - i / 40 if i < 40 else 10.0 ** (i - 39) for i in range(50))
    chart = sweep_chart(Rates(rates, losses))
    assert [mark.name for mark in chart.marks] == ["steepest: 0.001", "valley, suggested: 0.005"]
    assert chart.across.is_log
    assert 2 < chart.up.hi < 3
    assert chart.marks[0].at == (1e-3, pytest.approx(1.5))
    assert "<polyline" in svg(sweep_chart(Rates((1e-3, 1e-2), (math.nan, math.inf))))


def test_the_page_needs_nothing_else_and_lists_the_epochs(tmp_path: Path) -> None:
    page = tmp_path / "training.html"
    write_page(HISTORY, page, title="<flowers>", sweep=Rates((1e-4, 1e-3, 1e-2), (2, 1.5, 1)), notes=["batch halved to 16"])
    text = page.read_text()
    assert text.count("<svg") == 4
    assert "&lt;flowers&gt;" in text
    assert "5 epochs in 17.5 s: 500 pictures seen, 29 a second. Kept: epoch 4, 66.0 % of the validation pictures right." in text
    assert "batch halved to 16" in text
    assert text.count("<tr") == 6
    assert "<script" not in text
    assert "src=" not in text
    write_page([replace(epoch, is_best=False) for epoch in HISTORY], page, title="no better")
    assert "Kept: what it began from." in page.read_text()
    assert "best: epoch" not in page.read_text()
    write_page((), page, title="nothing")
    assert "No epoch was finished." in page.read_text()


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_a_phone_and_a_screen(browser, width: int, tmp_path: Path) -> None:
    write_page(HISTORY, tmp_path / "training.html", title="flowers", sweep=Rates((1e-4, 1e-3, 1e-2), (2, 1.5, 1)))
    page = browser.new_page(viewport={"width": width, "height": 800})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto((tmp_path / "training.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [one.bounding_box() for one in page.locator("svg").all()]
    assert len(boxes) == 4
    assert all(box["height"] > 100 for box in boxes)
    assert complaints == []
    page.close()
