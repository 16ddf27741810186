from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tellapart.data import split
from tellapart.errors import CallError
from tellapart.images.samples import Sample
from tellapart.rehearsals import compare_backbones, find_rate, summarize_network, write_preview
from tellapart.runs.choices import Choices
from tellapart.sources import read
from tellapart.training import Recipe

SMALL = Recipe(size=96)
FROM_SCRATCH = Recipe(arch="tutorial_cnn", size=32, batch=8)


def test_backbones_are_compared_on_the_training_pictures(clean_sample: Sample) -> None:
    found = compare_backbones(clean_sample.root, Recipe("efficientnet_lite0, ", size=96), Choices())
    assert found.best.arch == "efficientnet_lite0"
    assert found.best.n == len(split(read(clean_sample.root)).in_split("train"))


def test_a_preview_holds_pictures_and_their_views(clean_sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    first = write_preview(clean_sample.root, SMALL, Choices(), None)
    path = first.page
    assert path == Path("runs") / f"preview-{clean_sample.root.resolve().stem}.png"
    with Image.open(path) as image:
        assert image.width > image.height > 6 * 90
    again = write_preview(clean_sample.root, SMALL, Choices(), None)
    assert again == first
    other = write_preview(clean_sample.root, Recipe(size=96, augment="none"), Choices(), tmp_path / "plain.png")
    assert other.page.read_bytes() != path.read_bytes()
    with pytest.raises(CallError, match="is there already; nothing is overwritten"):
        write_preview(clean_sample.root, SMALL, Choices(), tmp_path / "plain.png")
    with pytest.raises(CallError, match=r"must end in \.png"):
        write_preview(clean_sample.root, SMALL, Choices(), tmp_path / "plain.jpg")


def test_a_preview_says_what_is_left_out(shoes: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = write_preview(shoes, SMALL, Choices(), tmp_path / "shoes.png")
    assert found.notes[0].startswith("mirroring is left out: it makes '")
    assert found.text() == "\n".join([str(found.page), *(f"note: {note}" for note in found.notes)])
    assert found.to_json() == {"page": str(found.page), "notes": list(found.notes)}


@pytest.mark.slow
def test_a_rate_is_found_for_the_network_that_would_be_trained(clean_sample: Sample, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = find_rate(clean_sample.root, FROM_SCRATCH, Choices(), tmp_path / "rates.html")
    assert found.page.read_text().count("<svg") == 1
    assert "A sweep of rates, nothing trained." in found.page.read_text()
    assert found.default == "Where no rate is given, tutorial_cnn is trained at 0.01, without a sweep."
    facts = found.to_json()
    assert facts["suggestion"] == facts["valley"] == found.sweep.valley
    assert len(facts["rates"]) == len(facts["losses"])
    assert f"valley:   {found.sweep.valley:.2g}" in found.text()
    drawn = find_rate(clean_sample.root, FROM_SCRATCH, Choices(), tmp_path / "rates.svg")
    assert drawn.page.read_text().startswith("<svg")
    assert drawn.sweep == found.sweep, "all that is drawn follows from the seed"


@pytest.mark.slow
def test_a_rate_is_found_for_a_tail_on_request(clean_sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = find_rate(clean_sample.root, Recipe(size=96, batch=8, augment="none", tune="tail"), Choices(), tmp_path / "tail.svg")
    assert found.default.startswith(
        "Where no rate is given, the last stages are trained at 0.005. A sweep tells more of the head"
    )
    assert 1e-6 < found.sweep.suggestion < 10


def test_what_no_rate_can_be_found_for_is_refused(clean_sample: Sample, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(CallError, match="with 0 epochs no network is trained, only a head"):
        find_rate(clean_sample.root, Recipe(epochs=0), Choices(), None)
    with pytest.raises(CallError, match=r"its name must end in \.html or \.svg"):
        find_rate(clean_sample.root, FROM_SCRATCH, Choices(), tmp_path / "rates.png")
    with pytest.raises(CallError, match="with 0 epochs no network is trained"):
        summarize_network(clean_sample.root, Recipe(epochs=0), Choices())


def test_the_summary_is_of_the_network_that_would_be_trained(clean_sample: Sample) -> None:
    pytest.importorskip("torch")
    summary = summarize_network(clean_sample.root, FROM_SCRATCH, Choices())
    assert summary.layers[-1].shape == (len(split(read(clean_sample.root)).classes),)
    assert [summary.n_trainable, summary.n_frozen] == [summary.to_json()[name] for name in ("n_trainable", "n_frozen")]
    assert summary.n_frozen == 0
    tail = summarize_network(clean_sample.root, Recipe(size=96, tune="tail"), Choices())
    assert tail.layers[0].kind == "frozen"
    assert tail.n_trainable > tail.n_frozen > 0
