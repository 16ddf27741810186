from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tellapart.pages import filename, shown


def test_shown_makes_the_invisible_visible() -> None:
    assert shown("a\nb\x00c\u202ed\udcffe") == "a↵b�c�d�e"
    assert shown("👩\u200d🌾 ورد é") == "👩\u200d🌾 ورد é"


@given(st.text(st.characters(codec=None)))
def test_shown_is_one_line_that_can_be_encoded(text: str) -> None:
    assert len(shown(text).splitlines()) <= 1
    shown(text).encode()


def test_filename() -> None:
    assert filename("rose/12.jpg") == "12.jpg"
    assert filename("/") == "/"
