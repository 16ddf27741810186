from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tellapart.memory import give_back

PAGE_BYTES = 4096
MB = 2**20


def resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE_BYTES / MB


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap is what is measured")
def test_freed_blocks_go_back_to_the_system() -> None:
    many = [np.ones(MB // 64, np.uint8) for _ in range(64 * 64)]  # 64 MB in blocks that the heap keeps once they are free
    last = np.ones(MB // 64, np.uint8)  # above them all, so that the heap cannot shrink from its end
    held = resident_mb()
    many.clear()
    kept = resident_mb()
    give_back()
    assert resident_mb() < min(held, kept) - 32
    assert last.any()


FAULTS = """
import resource
import numpy as np
from tellapart.memory import kept_for_reuse

def faults():
    began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(8 * 2**20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began

with kept_for_reuse():
    faults()
    print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap is what is measured")
def test_blocks_that_are_kept_are_not_faulted_in_again() -> None:
    """In a process of its own: glibc's settings cannot be taken back."""
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 8 * MB // PAGE_BYTES  # of 20 times as many pages that were written
