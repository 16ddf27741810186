"""Two processes that train one network over gloo, as torchrun starts them, against one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tellapart.training.loop.processes import n_processes, of_first, rank, refuse_disagreement, share, summed

TOYS = Path(__file__).with_name("toys.py")
FIELDS = ("n=197", "epochs=2", "accumulate=2", "ema=0.9")  # with batch-norm and dropout, which see a batch at a time


def train(folder: Path, *launcher: str, fields: tuple[str, ...] = FIELDS) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    words = [sys.executable, *launcher, str(TOYS), "train", str(folder), str(folder / "weights.safetensors"), *fields]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "weights.json").read_text()), load_file(folder / "weights.safetensors")


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    """The same pictures counted once, the same losses, and the same weights but for rounding."""
    alone, weights = train(tmp_path / "alone")
    together, shared = train(tmp_path / "together", *TORCHRUN)
    assert len(together) == len(alone) == 2
    for one, other in zip(alone, together, strict=True):
        for name in ("number", "n_pictures", "batch", "rate", "valid_accuracy", "is_best"):
            assert other[name] == one[name], name
        for name in ("train_loss", "valid_loss"):
            assert other[name] == pytest.approx(one[name], abs=1e-4), name
    for name, tensor in weights.items():
        torch.testing.assert_close(shared[name], tensor, atol=1e-3, rtol=1e-3)
    assert len((tmp_path / "together" / "log.jsonl").read_text().splitlines()) == 2  # one of them writes


@pytest.mark.slow
def test_two_processes_learn_and_go_on(tmp_path: Path) -> None:
    fields = ("n=197", "epochs=3", "ema=0.9")
    first, weights = train(tmp_path, *TORCHRUN, fields=fields)
    assert [row["n_pictures"] for row in first] == [197, 394, 591]
    assert first[-1]["valid_accuracy"] > 0.8
    again, same = train(tmp_path, *TORCHRUN, fields=fields)
    assert again == first
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def test_a_process_alone_shares_with_nobody() -> None:
    cpu = torch.device("cpu")
    assert (n_processes(), rank(), share()) == (1, 0, {})
    assert summed([1.5, 2.0], cpu) == [1.5, 2.0]
    assert of_first(0.5, cpu) == 0.5
    refuse_disagreement("checkpoint", 3, cpu)
