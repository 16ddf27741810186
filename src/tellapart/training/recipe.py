"""`Recipe`: every choice of a training, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from tellapart.errors import CallError, unknown_name
from tellapart.images import Fit

DEFAULT_ARCH = "efficientnet_lite0"
DEFAULT_SIDE_PX = 224
# What suits a network where the recipe leaves it open. Ours are always trained from scratch; what they want was chosen on a tenth
# of Fashion-MNIST's training part. The others' are fastai's, for fine-tuning.
SUITED: dict[str, Any] = {"dropout": 0.2, "label_smoothing": 0.1, "augment": "default", "optimizer": "adamw"}
SUITED_BY_OWN: dict[str, dict[str, Any]] = {
    "compact": {"lr": 0.006, "dropout": 0.0, "augment": "light", "optimizer": "muon"},
    "compact_wide": {"lr": 0.006, "dropout": 0.0, "augment": "light", "optimizer": "muon"},
    "tutorial_cnn": {"lr": 0.01, "dropout": 0.0, "label_smoothing": 0.0, "augment": "flip", "optimizer": "muon"},
}
OWN_NETWORKS = tuple(SUITED_BY_OWN)
SMALLEST_PX = {"compact": 8, "compact_wide": 8, "tutorial_cnn": 10}  # sides; 8 a Fit makes, of 10 pooling twice leaves one

CHOICES = {
    "tune": ("auto", "tail", "all"),
    "unfreeze": ("at_once", "gradual"),
    "optimizer": ("auto", "adamw", "muon", "sgd", "rmsprop", "lamb"),
    "schedule": ("onecycle", "cosine", "constant"),
    "norms": ("frozen", "trained"),
    "loss": ("cross_entropy", "focal"),
    "sampling": ("as_is", "balanced"),
    "precision": ("auto", "float32", "bfloat16"),
    "augment": ("auto", "none", "flip", "light", "default", "strong"),
}
WHOLE = ("folds", "epochs", "batch", "accumulate", "patience", "views", "seed")
RANGES = {
    "valid_frac": (0, 0.9),
    "test_frac": (0, 0.9),
    "folds": (2, 50),
    "balance": (0, 1),
    "epochs": (0, 10_000),
    "budget_s": (1, 30 * 86_400),
    "batch": (1, 65_536),
    "accumulate": (1, 10_000),
    "lr": (1e-9, 100),
    "body_lr": (0, 1),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 10),
    "label_smoothing": (0, 0.9),
    "dropout": (0, 0.95),
    "focus": (0, 10),
    "ema": (0, 0.999999),
    "patience": (0, 10_000),
    "mixup": (0, 10),
    "cutmix": (0, 10),
    "erasing": (0, 1),
    "views": (1, 64),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True)
class Recipe:
    """How to train. Frozen: `dataclasses.replace(recipe, seed=1)` makes another one."""

    # The network and what it sees.
    arch: str = DEFAULT_ARCH  # the bundled backbone, one of ours ("tutorial_cnn", "compact", "compact_wide"), any of timm's
    weights: str = "auto"  # "auto": bundled or the hub's default; a tag of timm's; a local .safetensors file; "none": random
    size: int | None = None  # side of the input in px; None: 224, and for networks of ours the pictures' own side up to 64
    fit: str = "crop"  # how a picture becomes a square: "crop" its middle, "pad" it, "squish" it

    # Who is held back.
    valid_frac: float = 0.2  # part of each class held back to judge on, unless the data bring a validation part
    test_frac: float = 0.0  # part of each class locked away for `evaluate`

    # The head on frozen features.
    folds: int = 5  # of the cross-validation that chooses the head's penalty inside the training part
    balance: float = 0.0  # weigh a class by (mean count / its count) ** balance: 0 as they come, 1 as if equally frequent

    # Training the network itself: after the head, or from scratch where the weights are "none".
    epochs: int | None = None  # 0: the head alone; None: what fits into the budget, without one 0
    budget_s: float | None = None  # seconds of the whole training; the best network on validation when they are over is kept
    tune: str = "auto"  # "tail": the last stages, on cached activations; "all"; "auto": the tail where there is one and no GPU
    unfreeze: str = "at_once"  # or "gradual": a group of layers more each epoch, from the head down
    batch: int | None = None  # pictures a step; None: 32 for a tail, and on a CPU for timm's networks from 128 px on, else 128
    accumulate: int = 1  # steps whose gradients are added up before the weights move
    optimizer: str = "auto"  # "adamw"; "muon", which ours learn by where it is left open; "sgd" with Nesterov momentum,
    # "rmsprop" (the tutorials'), "lamb" for large batches (timm's)
    lr: float | None = None  # highest rate, of the head; None: 5e-3 for a tail, 6e-3 for "compact" and
    # "compact_wide", 1e-2 for "tutorial_cnn", else found by a sweep of rates
    body_lr: float = 0.1  # the deepest layers' rate as a part of the head's; groups between lie evenly on a log scale
    schedule: str = "onecycle"  # or "cosine" after a short warm-up, "constant"
    momentum: float = 0.9  # of "sgd" and "rmsprop"
    weight_decay: float = 0.02  # decoupled where the optimizer is; never of norms and biases
    label_smoothing: float | None = None  # part of a label that is spread over all classes; None: 0.1, 0 for "tutorial_cnn"
    dropout: float | None = None  # part of the features left out before the last layer; None: 0.2, 0 for ours
    norms: str = "frozen"  # statistics of batch-norm in a pretrained body; "trained": they follow the batches, but not in a tail
    loss: str = "cross_entropy"  # or "focal", which counts what is already right for less
    focus: float = 2.0  # exponent of the focal loss
    sampling: str = "as_is"  # or "balanced": each class is drawn equally often
    ema: float = 0.0  # keep a mean of the weights that decays so slowly, say 0.99 a step; 0: none, but 0.98 for a tail
    patience: int = 0  # stop after so many epochs without a better validation loss; 0: never
    precision: str = "auto"  # "bfloat16" where the processor has it and it pays, else "float32"
    compile: bool = False  # torch.compile: pays from some ten minutes of training

    # How pictures are varied.
    augment: str = (
        "auto"  # "none", "flip", "light" (flip, shift), "default" (flip, 10 degrees, zoom 1.1, light and warp .2), "strong"
    )
    # (TrivialAugment); "auto": "light" for the compact ones, "flip" for "tutorial_cnn", else "default"
    mixup: float = 0.0  # Beta(a, a) of mixed pairs of pictures; 0: none
    cutmix: float = 0.0  # the same, of a rectangle of one in the other
    erasing: float = 0.0  # part of the pictures in which a rectangle is erased
    views: int | None = None  # varied views kept of each picture for a tail; None: 8, or as many as 4 GB of disk hold

    seed: int = 0  # of the split, the folds and all else that is drawn

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            if (value := getattr(self, name)) is not None:
                _refuse_outside(name, value, low, high)
        for name, known in CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise unknown_name(name, str(value), known)
        Fit(self.side_px, self.fit)  # raises CallError for a side or a fit that is not possible
        if self.arch in OWN_NETWORKS and self.epochs == 0:
            raise CallError(f"{self.arch} has no weights to begin with: it is trained from scratch, for 1 epoch or more")
        if self.side_px < (smallest := SMALLEST_PX.get(self.arch, 0)):
            raise CallError(
                f"{self.arch!r} cannot take pictures of {self.side_px} px, but of {smallest} or more: --size {smallest}"
            )

    @property
    def side_px(self) -> int:
        """The side of the model's input."""
        return self.size or DEFAULT_SIDE_PX

    @property
    def trains_network(self) -> bool:
        """Whether more than a head is trained."""
        wanted = self.budget_s is not None or self.arch in OWN_NETWORKS
        return self.epochs > 0 if self.epochs is not None else wanted

    @property
    def is_from_scratch(self) -> bool:
        """Whether the network begins with random weights."""
        return self.trains_network and (self.weights == "none" or self.arch in OWN_NETWORKS)

    @property
    def settled(self) -> Recipe:
        """The recipe with `dropout`, `label_smoothing`, `augment` and the rate of ours, where left open, as suits its network."""
        suited = SUITED | SUITED_BY_OWN.get(self.arch, {})
        return replace(self, **{name: value for name, value in suited.items() if getattr(self, name) in (None, "auto")})

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


def _refuse_outside(name: str, value: object, low: float, high: float) -> None:
    kinds = int if name in WHOLE else int | float
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise CallError(f"{name} is {value!r}; it must be a {'whole ' if name in WHOLE else ''}number")
    if not low <= value <= high:  # also what is not a number
        raise CallError(f"{name} is {value}; it must lie between {low} and {high}")
