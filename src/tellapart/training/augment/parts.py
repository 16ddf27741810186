"""`Part`: the rows of a batch that one of several processes varies, each as one process would vary it."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Part(NamedTuple):
    """Of a batch of `n` pictures, for all of which is drawn, those in `rows` are at hand."""

    n: int
    rows: slice = slice(None)

    @classmethod
    def whole(cls, pictures: torch.Tensor) -> Part:
        """All of the batch."""
        return cls(len(pictures))
