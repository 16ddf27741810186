from __future__ import annotations

from tellapart.server.metrics import Counter, Gauge, Histogram


def test_a_counter_by_labels() -> None:
    counter = Counter("n_total", "All.")
    counter.add(kind='a "b"\\\n')
    counter.add(2, kind="c")
    counter.add(kind="c")
    assert list(counter.lines()) == [
        "# HELP n_total All.", "# TYPE n_total counter", r'n_total{kind="a \"b\"\\\n"} 1', 'n_total{kind="c"} 3',
    ]  # fmt: skip


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram("t", "Time.", (0.1, 1))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.observe(value)
    assert list(histogram.lines())[2:] == [
        't_bucket{le="0.1"} 2', 't_bucket{le="1"} 3', 't_bucket{le="+Inf"} 4', "t_sum 7.65", "t_count 4",
    ]  # fmt: skip


def test_a_gauge_is_read_when_it_is_asked() -> None:
    values = {(): 1.0}
    gauge = Gauge("g", "Now.", lambda: values)
    values[()] = 2
    assert list(gauge.lines())[2:] == ["g 2"]
