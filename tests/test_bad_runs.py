"""Runs and bundles that are not what they should be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tellapart.images.samples import Sample
from tellapart.inference.manifests import FORMAT

SIZE = ("--size", "96")


@pytest.mark.parametrize("verb", ["evaluate", "predict", "export"])
def test_no_such_run_is_2(tellapart, tmp_path: Path, verb: str) -> None:
    more = {"predict": ["a.jpg"], "export": ["--out", "new"]}.get(verb, [])
    done = tellapart(verb, "absent", *more, cwd=tmp_path)
    assert done.returncode == 2
    assert "absent" in done.stderr
    assert "tellapart train DATA" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_no_run(tellapart, bundle: Path, run_folder: Path, tmp_path: Path) -> None:
    done = tellapart("evaluate", bundle, cwd=tmp_path)
    assert done.returncode == 2
    assert "is a bundle, which only predicts; what was held back is in its run. Give the run: the folder" in done.stderr
    within = tellapart("evaluate", run_folder / "bundle", cwd=tmp_path)
    assert within.returncode == 2
    assert f"Give the run: {run_folder}\n" in within.stderr


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda run: flip(run / "bundle" / "model.onnx"), "model.onnx is damaged: its SHA-256 is not the manifest's"),
        (lambda run: (run / "bundle" / "head.safetensors").unlink(), "'head.safetensors' is missing"),
        (lambda run: (run / "bundle" / "manifest.json").write_text("{"), "manifest.json is damaged (not JSON"),
        (lambda run: rewrite(run / "bundle" / "manifest.json", format=FORMAT + 1), "pip install -U tellapart"),
        (lambda run: rewrite(run / "run.json", state="unfinished"), "is unfinished. Go on with it: tellapart train --resume"),
        (lambda run: shutil.rmtree(run / "bundle"), "there is no manifest.json in it"),
    ],
    ids=["model", "head", "manifest", "newer format", "unfinished", "no bundle"],
)
def test_a_damaged_run_is_named(tellapart, run_folder: Path, tmp_path: Path, damage: Callable[[Path], object], text: str) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    damage(run)
    for words in (("predict", run, "a.jpg"), ("evaluate", run)):
        done = tellapart(*words)
        assert done.returncode == 1
        assert text in done.stderr
        assert done.stdout == ""


def test_a_damaged_cache_is_computed_again(tellapart, clean_sample: Sample, tmp_path: Path) -> None:
    cache, env = tmp_path / "cache", {"TELLAPART_CACHE": str(tmp_path / "cache")}
    first = tellapart("train", clean_sample.root, "--out", tmp_path / "a", "--json", *SIZE, env=env)
    for path in cache.rglob("*"):
        if path.is_file():
            flip(path)
    second = tellapart("train", clean_sample.root, "--out", tmp_path / "b", "--json", *SIZE, env=env)
    assert (first.returncode, second.returncode) == (0, 0)
    assert json.loads(second.stdout)["n_cached"] == 0
    assert (tmp_path / "a/bundle/model.onnx").read_bytes() == (tmp_path / "b/bundle/model.onnx").read_bytes()
