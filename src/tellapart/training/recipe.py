"""`Recipe`: every choice of a training, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tellapart.errors import CallError, unknown_name
from tellapart.images import Fit

DEFAULT_ARCH = "efficientnet_lite0"


@dataclass(frozen=True)
class Recipe:
    """How to train. Frozen: `dataclasses.replace(recipe, seed=1)` makes another one."""

    arch: str = DEFAULT_ARCH  # backbone: the bundled one, or any name of timm's (needs the extra `train`)
    weights: str = "auto"  # "auto": bundled or the hub's default; a tag of timm's; a local .safetensors file; "none": random
    size: int = 224  # side of the model's input in px
    fit: str = "crop"  # how a picture becomes a square: "crop" its middle, "pad" it, "squish" it
    valid_frac: float = 0.2  # part of each class held back to judge on, unless the data bring a validation part
    test_frac: float = 0.0  # part of each class locked away for `evaluate`
    folds: int = 5  # of the cross-validation that chooses the head's penalty inside the training part
    balance: float = 0.0  # weigh a class by (mean count / its count) ** balance: 0 as they come, 1 as if equally frequent
    seed: int = 0  # of the split, the folds and all else that is drawn

    def __post_init__(self) -> None:
        _within("valid_frac", self.valid_frac, 0, 0.9)
        _within("test_frac", self.test_frac, 0, 0.9)
        _within("folds", self.folds, 2, 50)
        _within("balance", self.balance, 0, 1)
        _within("seed", self.seed, 0, 2**32 - 1)
        Fit(self.size, self.fit)  # raises CallError for a side or a fit that is not possible

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe with these fields; raises CallError for an unknown one, naming the nearest."""
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise unknown_name("recipe field", name, known)
        try:
            return cls(**values)
        except TypeError as error:
            raise CallError(f"a recipe's field has a value of the wrong kind: {error}") from error


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also what is not a number
        raise CallError(f"{name} is {value}; it must lie between {low} and {high}")
