"""Memory that is free again: kept for the next to ask, or given back."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
NEVER = 2**31 - 1
MAPPED_BYTES = 32 * 2**20  # of a block that has a mapping of its own: as far as glibc's own rule goes, which a setting ends
MAPPINGS = 65_536  # glibc's own


@contextmanager
def kept_for_reuse() -> Iterator[None]:
    """Freed memory stays with the process inside, and goes back to the system after, where the C library is glibc.

    A step of a training frees blocks of megabytes and asks for them anew; each time glibc gives them back to the system and
    every page of the new ones is faulted in. That was a third of the time of the tutorial CNN's step (10,000 faults), and half
    of one of EfficientNet-Lite0's (760,000; 32 pictures of 224 px).
    """
    _set({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: NEVER})
    try:
        yield
    finally:
        _set({M_MMAP_MAX: MAPPINGS, M_MMAP_THRESHOLD: MAPPED_BYTES})
        give_back()


def _set(values: dict[int, int]) -> None:
    with suppress(AttributeError, OSError, TypeError):
        for name, value in values.items():
            ctypes.CDLL(None).mallopt(name, value)


def give_back() -> None:
    """Hand what was freed back to the system, where the C library is glibc: it keeps freed blocks otherwise.

    Worth calling after something large, say a network, was let go of. It takes a millisecond.
    """
    with suppress(AttributeError, OSError, TypeError):  # no such function, no such library, and Windows' CDLL(None)
        ctypes.CDLL(None).malloc_trim(0)
