"""More texts than are held in memory: in order, and each once."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart import spilling
from tellapart.spilling import encoded, once, sorted_texts

ANY = st.lists(st.text(st.characters(exclude_categories=()), max_size=5), max_size=20)  # lone surrogates too


@given(ANY)
def test_bytes_sort_as_their_texts_do(texts: list[str]) -> None:
    assert sorted(texts, key=encoded) == sorted(texts)


@pytest.mark.parametrize("held", [1, 3, 1000])
def test_texts_are_sorted_in_memory_and_on_disk(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(spilling, "HELD", held)
    texts = [f"{number}\n\udcff🦉" for number in range(500)]
    random.Random(0).shuffle(texts)
    assert list(sorted_texts(texts)) == sorted(texts)


def test_no_texts_are_none() -> None:
    assert list(sorted_texts([])) == list(once([])) == []


@given(ANY)
def test_each_text_comes_once_where_it_came_first(texts: list[str]) -> None:
    assert list(once(texts)) == list(dict.fromkeys(texts))


def test_a_reader_may_stop_early() -> None:
    assert next(once(["a", "a"])) == "a"
