from __future__ import annotations

import pickle
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tellapart.errors import BundleError
from tellapart.files import sha256_of
from tellapart.training.backbones import LITE0_FILE, LITE0_PACKAGE, LITE0_SHA256
from tellapart.training.checkpoints import LEGACY_MAGIC, read_checkpoint


@pytest.fixture(scope="module")
def bundled() -> Path:
    spec = find_spec(LITE0_PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / LITE0_FILE


class Malicious:
    """A pickle of this creates the file `path` when it is loaded by an ordinary unpickler."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_the_bundled_file_holds_the_network(bundled: Path) -> None:
    tensors = read_checkpoint(bundled, sha256=LITE0_SHA256)
    assert len(tensors) == 296
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())


@pytest.mark.slow
def test_the_tensors_are_those_that_torch_reads(bundled: Path) -> None:
    torch = pytest.importorskip("torch")
    expected = torch.load(bundled, weights_only=True)
    found = read_checkpoint(bundled, sha256=LITE0_SHA256)
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], expected[name].numpy()) for name in expected)


def test_another_file_is_not_opened(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "other.pth").write_bytes(pickle.dumps(Malicious(mark)))
    with pytest.raises(BundleError, match=r"other\.pth is not the expected file.*, not 579344248a93.*Install its package again"):
        read_checkpoint(tmp_path / "other.pth", sha256=LITE0_SHA256)
    assert not mark.exists()


@pytest.mark.parametrize("n_harmless", [0, 1, 3])
def test_nothing_in_a_checkpoint_can_run(tmp_path: Path, n_harmless: int) -> None:
    """Even with the right hash: in each of the pickles that follow one another in the file."""
    mark, path = tmp_path / "ran", tmp_path / "evil.pth"
    harmless = (LEGACY_MAGIC, 1001, {"little_endian": True})[:n_harmless]
    path.write_bytes(b"".join(pickle.dumps(value, 2) for value in (*harmless, Malicious(mark))))
    with pytest.raises(BundleError, match=r"the checkpoint asks for .*; only tensors are read"):
        read_checkpoint(path, sha256=sha256_of(path))
    assert not mark.exists()


def test_a_pickle_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(pickle.dumps({"weights": [1.0]}, 2) + struct.pack("<q", 1))
    with pytest.raises(BundleError, match=r"other\.pth is not a PyTorch checkpoint of the format before 1\.6"):
        read_checkpoint(path, sha256=sha256_of(path))
