"""How many threads a process takes."""

from __future__ import annotations

import pytest

from tellapart.errors import CallError
from tellapart.threads import chosen_threads, n_threads


def test_as_many_as_there_are_cores_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TELLAPART_THREADS", raising=False)
    assert chosen_threads() is None
    assert n_threads() >= 1
    monkeypatch.setenv("TELLAPART_THREADS", "3")
    assert chosen_threads() == n_threads() == 3


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "99999999999", "²"])
def test_what_is_no_number_is_said(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TELLAPART_THREADS", text)
    with pytest.raises(CallError, match=r"TELLAPART_THREADS is .*; it must be a whole number from 1 to 4096"):
        n_threads()


def test_predictions_by_one_thread_are_the_same(tellapart, run_folder, pictures) -> None:
    shown = [tellapart("predict", run_folder, *pictures, "--json", env={"TELLAPART_THREADS": n}).stdout for n in ("", "1")]
    assert shown[0] == shown[1] != ""
    wrong = tellapart("predict", run_folder, pictures[0], env={"TELLAPART_THREADS": "many"})
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
