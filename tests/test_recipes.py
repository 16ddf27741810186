from __future__ import annotations

import json
from pathlib import Path

import pytest

from tellapart.cli.recipes import recipe_of, seconds_of
from tellapart.errors import CallError
from tellapart.training import Recipe


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, None), ("90", 90), ("90s", 90), ("1.5m", 90), (" 2 h", 7200), ("1d", 86_400)]
)
def test_times_are_read(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "5 weeks", "1e3", "nan"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(CallError, match="is no time; give seconds, minutes or hours: 90s, 5m, 1h"):
        seconds_of(text)


def test_settings_come_after_options_and_those_after_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"state": "finished", "recipe": {"lr": 0.1, "batch": 8, "augment": "strong"}}))
    assert recipe_of(file, ["augment=none", "label-smoothing = 0"], batch=16, lr=None) == Recipe(
        lr=0.1, batch=16, augment="none", label_smoothing=0
    )
    file.write_text(json.dumps({"weights": "none"}))
    assert recipe_of(file, []) == Recipe(weights="none")
    assert recipe_of(None, ["weights=none", "compile=true", "views=null"]) == Recipe(weights="none", compile=True)


def test_what_is_no_setting_is_told(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"--set lr: write a field of the recipe and its value, as in --set lr=0.01"):
        recipe_of(None, ["lr"])
    with pytest.raises(CallError, match=r"unknown recipe field 'mixupp'; did you mean 'mixup'\?"):
        recipe_of(None, ["mixupp=0.2"])
    with pytest.raises(CallError, match="mixup is 'lots'; it must be a number"):
        recipe_of(None, ["mixup=lots"])
    with pytest.raises(CallError, match=r"--recipe .*: cannot read"):
        recipe_of(tmp_path / "absent.json", [])
    (tmp_path / "broken.json").write_text('{"recipe": [1]}')
    with pytest.raises(CallError, match="its 'recipe' is not an object of fields and values"):
        recipe_of(tmp_path / "broken.json", [])
