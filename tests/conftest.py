"""What several rooms' tests share: drawn pictures, the command line as a real process, and one trained run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tellapart.images.samples import Sample, draw_sample

SIDE_PX = 96  # of the models' input: the smallest that still tells the shapes apart, and the quickest
MakeFiles = Callable[[Path, Iterable[str]], None]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own; no test touches the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TELLAPART_CACHE", str(folder))
        patch.delenv("TELLAPART_RUNTIME", raising=False)
        yield folder


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The installed command, without the shell's search for it."""
    return [sys.executable, "-m", "tellapart"]


@pytest.fixture(scope="session")
def tellapart(cache: Path, command: list[str]) -> Cli:
    """Calls the command line in a process of its own. Whatever happens, the user sees no traceback."""

    def call(*words: str | Path, env: dict[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TELLAPART_CACHE": str(cache), "COLUMNS": "160", **(env or {})}
        done = subprocess.run(
            [*command, *map(str, words)], capture_output=True, text=True, timeout=120, env=environment, check=False, **more
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """45 shapes in 3 classes, with planted faults: 4 of the files cannot be read."""
    return draw_sample("shapes", tmp_path_factory.mktemp("sample") / "shapes", n_per_class=15, side_px=64)


@pytest.fixture(scope="session")
def clean_sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """36 shapes in 3 classes without any fault."""
    return draw_sample("shapes", tmp_path_factory.mktemp("sample") / "clean", n_per_class=12, side_px=64, faults=False)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tellapart: Cli, sample: Sample) -> tuple[Path, str]:
    """The folder of a run made through the command line, and what it printed as JSON. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    done = tellapart("train", sample.root, "--out", folder, "--size", str(SIDE_PX), "--test", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="session")
def run_folder(trained: tuple[Path, str]) -> Path:
    """The trained run. Not to be changed: copy it."""
    return trained[0]


@pytest.fixture
def bundle(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the trained run's bundle, for a test to damage."""
    return Path(shutil.copytree(run_folder / "bundle", tmp_path / "bundle"))


@pytest.fixture(scope="session")
def pictures(clean_sample: Sample) -> list[str]:
    """Paths of readable pictures."""
    return sorted(str(path) for path in clean_sample.root.glob("*/*"))


def png(number: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (4, 4), (number % 256, number // 256 % 256, number // 65536)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def make_files() -> MakeFiles:
    """make_files(root, ["cat/1.png", ...]): pictures below `root`, no two alike."""

    def make(root: Path, names: Iterable[str]) -> None:
        for number, name in enumerate(names):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(number))

    return make


@pytest.fixture(scope="module")  # no longer: an event loop of its own runs while it is open
def browser() -> Iterator[Any]:
    """The chromium of the system, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this system: apt-get install chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=[*quiet, "--disable-dev-shm-usage"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def shoes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 drawn shoes, left and right, of which one mirrored is the other."""
    root, rng = tmp_path_factory.mktemp("shoes"), np.random.default_rng(0)
    for number in range(40):
        ground = rng.integers(100, 256, (3, 3, 3)).astype(np.uint8)  # other on each picture, else they were near copies
        image = Image.fromarray(ground).resize((96, 96), Image.Resampling.NEAREST)
        outline = np.array([(20, 25), (42, 25), (46, 48), (78, 58), (82, 70), (20, 70)]) + rng.integers(-8, 8, 2)
        ImageDraw.Draw(image).polygon([tuple(place) for place in outline.tolist()], fill=tuple(rng.integers(0, 60, 3).tolist()))
        label = ("left", "right")[number % 2]
        (root / label).mkdir(exist_ok=True)
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number % 2 else image
        image.save(root / label / f"{number}.png")
    return root
