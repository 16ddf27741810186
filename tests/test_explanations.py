from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.errors import CallError
from tellapart.explanations import SHOWN_PX, explain_files, heat_map
from tellapart.inference import Classifier
from tellapart.inference.explaining import Explanation


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (1, 1)])
@pytest.mark.parametrize("box", [(0.25, 0.0, 0.75, 1.0), (0.0, -0.5, 1.0, 1.5)])
def test_the_heat_lies_where_the_network_looked(size: tuple[int, int], box: tuple[float, float, float, float]) -> None:
    drops = np.zeros((7, 7))
    drops[3, 3], drops[0, 0] = 0.6, -0.6
    drawn = heat_map(Image.new("RGB", size, (128, 128, 128)), Explanation("a", 0.9, drops, box))
    assert max(drawn.size) == SHOWN_PX
    red, _, blue = (int(value) for value in np.asarray(drawn)[drawn.height // 2, drawn.width // 2])
    assert red > blue + 50


def test_where_little_changes_little_is_coloured() -> None:
    picture = Image.new("RGB", (50, 50), (128, 128, 128))
    drawn = heat_map(picture, Explanation("a", 0.9, np.full((7, 7), 0.001), (0, 0, 1, 1)))
    assert np.abs(np.asarray(drawn).astype(int) - 128).max() < 3
    assert heat_map(picture.resize((3000, 2)), Explanation("a", 0.9, np.ones((7, 7)), (0.5, 0, 0.5, 1))).size == (SHOWN_PX, 1)


def test_each_picture_has_its_map(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("text")
    words = [pictures[0], tmp_path / "notes.png", pictures[20], "--out", tmp_path / "maps", "--json"]
    done = tellapart("explain", run_folder, *words)
    assert done.returncode == 0, done.stderr
    first, notes, last = map(json.loads, done.stdout.splitlines())
    assert notes == {"path": str(tmp_path / "notes.png"), "explanation": None, "heat_map": None, "error": "not a picture (text)"}
    expected = Classifier.load(run_folder).explain(pictures[0])
    assert first["explanation"]["label"] == expected.label
    assert np.abs(np.array(first["explanation"]["drops"]) - expected.drops).max() < 1e-6
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == [Path(one["heat_map"]).name for one in (first, last)]
    with Image.open(first["heat_map"]) as drawn:
        assert drawn.size == (SHOWN_PX, SHOWN_PX)
    assert done.stderr.splitlines()[-1] == f"3 files = 2 explained + 1 unreadable, in {tmp_path / 'maps'}"


def test_a_line_says_how_far_it_falls(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    done = tellapart("explain", run_folder, pictures[0], "--out", tmp_path / "maps", "--label", "square")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{pictures[0]}: square ")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["{picture}", "--out", "{used}"], "is not empty; nothing is overwritten"),
        (["{picture}", "--out", "{new}", "--label", "squar"], "unknown label 'squar'; did you mean 'square'?"),
        (["absent", "--out", "{new}"], "absent: cannot be read: No such file or directory"),
        (["{picture}"], "Missing option '--out'"),
        (["{used}/none*", "--out", "{new}"], "holds no pictures"),
    ],
)
def test_a_wrong_call_is_named(
    tellapart, run_folder: Path, pictures: list[str], tmp_path: Path, words: list[str], text: str
) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("")
    places = {"picture": pictures[0], "used": tmp_path / "used", "new": tmp_path / "new"}
    done = tellapart("explain", run_folder, *(word.format(**places) for word in words))
    assert done.returncode in (1, 2)
    assert text in done.stderr + done.stdout


def test_a_used_folder_is_refused_before_any_work(run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CallError, match="is not empty"):
        next(explain_files(Classifier.load(run_folder), pictures, tmp_path))
