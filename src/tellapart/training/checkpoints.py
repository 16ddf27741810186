"""Tensors out of a PyTorch checkpoint, without PyTorch and without running what a pickle may ask for."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tellapart.errors import BundleError
from tellapart.files import sha256_of

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER: the format before PyTorch 1.6
DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_checkpoint(path: Path, *, sha256: str) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch checkpoint in the format before 1.6, by name.

    The unpickler knows four names (an ordered dict, a tensor, two storages) and refuses every other, so nothing in the file
    can run; and only the one file with this `sha256` is opened at all. Raises BundleError for any other file.
    """
    if (found := sha256_of(path)) != sha256:
        raise BundleError(
            f"{path} is not the expected file (SHA-256 {found[:12]}…, not {sha256[:12]}…). Install its package again."
        )
    with path.open("rb") as file:
        if _Unpickler(file).load() != LEGACY_MAGIC:
            raise BundleError(f"{path} is not a PyTorch checkpoint of the format before 1.6")
        _Unpickler(file).load()  # protocol version
        _Unpickler(file).load()  # byte sizes of the writing machine
        unpickler = _Unpickler(file)
        tensors: dict[str, _Tensor] = unpickler.load()
        storages = {key: _read_storage(file, unpickler.dtypes[key]) for key in _Unpickler(file).load()}
    return {name: tensor.of(storages) for name, tensor in tensors.items()}


def _read_storage(file: BinaryIO, dtype: np.dtype[Any]) -> np.ndarray:
    n_values = int.from_bytes(file.read(8), "little")
    return np.frombuffer(file.read(n_values * dtype.itemsize), dtype)


class _Tensor:
    """A tensor as the pickle describes it: a window into a storage that follows later in the file."""

    def __init__(self, key: str, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> None:
        self.key, self.offset, self.shape, self.stride = key, offset, shape, stride

    def of(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        values = storages[self.key][self.offset :]
        strides = [step * values.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(values, self.shape, strides, writeable=False)


class _Unpickler(pickle.Unpickler):
    """Finds nothing but tensors."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.dtypes: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
            **{("torch", storage): dtype for storage, dtype in DTYPES.items()},
        }
        if (module, name) not in known:
            raise BundleError(f"the checkpoint asks for {module}.{name}; only tensors are read")
        return known[module, name]

    def persistent_load(self, pid: Any) -> str:
        _, dtype, key, *_ = pid
        self.dtypes[key] = dtype
        return str(key)
