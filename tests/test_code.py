"""Promises about the code itself: its public names, its rooms, its weight, its README."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tellapart

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tellapart"
MODULES = sorted(SOURCE.rglob("*.py"))
# Each imports only from those above it.
ROOMS = (
    "errors", "launch", "threads", "words", "memory", "progress", "files", "spilling", "images", "pages", "data", "sources",
    "downloads", "inference", "checks", "training", "evaluation", "grouping", "runs", "checking", "cleaning", "bulk",
    "predictions", "explanations", "evaluations", "comparing", "shootouts", "rehearsals", "tuning", "exports", "server",
    "estimator", "demo", "bars", "cli", "__main__",
)  # fmt: skip
HEAVY = {"torch", "torchvision", "timm", "sklearn", "pandas", "scipy", "matplotlib"}
ON_DEMAND = (
    "inference/torch_", "training/timm_backbones.py", "training/augment/", "training/loop/", "training/networks/",
    "training/pixels.py", "training/scratch.py", "training/tails/", "training/tracing.py", "training/tuned.py",
)  # fmt: skip
MAX_LINES = 450


def room_of(module: str) -> str:
    return module.removeprefix("tellapart").removeprefix(".").partition(".")[0]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports_of(tree: ast.AST) -> Iterator[str]:
    """What a module imports when it runs, inside of functions too: "tellapart.files", "numpy", ..."""
    for node in ast.iter_child_nodes(tree):
        if is_type_checking(node):
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{name.name}" for name in node.names)
        yield from imports_of(node)


def path_name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def test_the_public_names_are_few_and_there() -> None:
    assert len(tellapart.__all__) <= 15
    assert sorted(tellapart.__all__) == list(tellapart.__all__)
    for name in set(tellapart.__all__) - {"ImageClassifier"}:  # which needs scikit-learn: tests/test_estimator.py
        assert getattr(tellapart, name).__doc__, name
    assert set(tellapart.__all__) <= set(dir(tellapart))
    with pytest.raises(AttributeError, match="module 'tellapart' has no attribute 'trian'"):
        _ = tellapart.trian


def test_every_module_is_in_a_known_room() -> None:
    assert {path_name(path).removesuffix(".py").partition("/")[0] for path in MODULES} == {"__init__", *ROOMS}


@pytest.mark.parametrize("path", [path for path in MODULES if path_name(path) != "__init__.py"], ids=path_name)
def test_imports_lead_downward_only(path: Path) -> None:
    own = room_of("tellapart." + path_name(path).removesuffix(".py").replace("/", "."))
    allowed = {*ROOMS[: ROOMS.index(own) + 1], "__version__"}
    ours = {room_of(name) for name in imports_of(ast.parse(path.read_text())) if name.split(".")[0] == "tellapart"}
    assert ours <= allowed, f"{own} imports from {ours - allowed}"


def test_no_heavy_package_is_imported_at_the_top() -> None:
    """But by the modules that are themselves imported only when their package is wanted."""
    found = {
        path_name(path)
        for path in MODULES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and HEAVY & {name.split(".")[0] for name in imports_of(ast.Module([node], []))}
    }
    assert {path for path in found if not path.startswith(ON_DEMAND)} <= {"estimator.py"}


@pytest.mark.parametrize("path", MODULES, ids=path_name)
def test_no_module_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def loaded_after(code: str, *words: str | Path) -> set[str]:
    """The packages that a fresh process has loaded after this code, a command line in `words` among its arguments."""
    report = "print('\\nLOADED', json.dumps(sorted(sys.modules)), file=sys.stderr)"
    watch = f"import atexit, json, sys\natexit.register(lambda: {report})\n"
    done = subprocess.run(
        [sys.executable, "-c", watch + code, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},  # with a GPU at hand, training embeds in torch
    )
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(done.stderr.rpartition("LOADED ")[2])}


MAIN = "from tellapart.__main__ import main; main()"


def test_importing_it_is_light() -> None:
    assert not loaded_after("import tellapart") & (HEAVY | {"numpy", "PIL", "onnx", "openvino", "onnxruntime"})


def test_its_help_is_light() -> None:
    assert not loaded_after(MAIN, "--help") & (HEAVY | {"numpy", "PIL", "onnx", "openvino", "onnxruntime"})


def test_training_and_predicting_are_light(clean_sample, tmp_path: Path) -> None:
    assert not loaded_after(MAIN, "train", clean_sample.root, "--out", tmp_path / "run", "--size", "96") & HEAVY
    assert not loaded_after(MAIN, "evaluate", tmp_path / "run") & HEAVY
    assert not loaded_after(MAIN, "predict", tmp_path / "run", clean_sample.root) & (HEAVY | {"onnx"})


def readme_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)


@pytest.mark.slow
@pytest.mark.skipif(not readme_blocks("sh"), reason="the README shows no commands yet")
def test_the_readme_runs_as_printed(tmp_path: Path) -> None:
    """In order and in one folder, as a reader does; `make` has its own machine to be tested on."""
    pytest.importorskip("sklearn")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if shutil.which("tellapart", path=path) is None:
        pytest.skip("the command is not installed")
    commands = [line for block in readme_blocks("sh") for line in block.splitlines() if not line.startswith("make ")]
    scripts = ["\n".join(["set -eu", *commands]), "\n".join(readme_blocks("python"))]
    for interpreter, script in zip((["sh", "-c"], [sys.executable, "-c"]), scripts, strict=True):
        done = subprocess.run(
            [*interpreter, script],
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
        )
        assert done.returncode == 0, f"{script}\n{done.stderr}"
