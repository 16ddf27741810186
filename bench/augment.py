"""Time the variation of batches against torchvision's, picture by picture, on the same pictures.

    python bench/augment.py [--threads N] [--repeats N]

Needs `train`. A Markdown table goes to stdout: milliseconds a batch, the best of the repeats, and the ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torchvision.transforms import v2

from tellapart.training.augment.augmenters import augmenter
from tellapart.training.recipe import Recipe

BATCHES = ((256, 1, 28), (32, 3, 224))  # pictures, channels, side in px


def theirs(name: str, side: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """torchvision's nearest to the policy, for one picture."""
    bilinear = v2.InterpolationMode.BILINEAR
    shift = v2.RandomCrop(side, padding=side // 14, padding_mode="reflect")
    some = [
        v2.RandomAffine(10, scale=(1, 1.1), interpolation=bilinear),
        v2.RandomPerspective(0.2, 1.0, interpolation=bilinear),
        v2.ColorJitter(0.2, 0.2),
    ]
    steps = {
        "light": [shift],
        "default": [v2.RandomApply([one], 0.75) for one in some],
        "strong": [shift, v2.TrivialAugmentWide()],
    }
    return v2.Compose([v2.RandomHorizontalFlip(), *steps[name]])


def best_ms(call: Callable[[], object], repeats: int) -> float:
    call()  # what is made once is no part of it
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return 1000 * min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    print(f"| batch ({args.threads} threads) | policy | ours, ms | torchvision a picture at a time, ms | ratio |")
    print("|---|---|---|---|---|")
    for n, n_channels, side in BATCHES:
        pictures = torch.randint(0, 256, (n, n_channels, side, side), dtype=torch.uint8, generator=generator)
        for name in ("light", "default", "strong"):
            augment, peer = augmenter(Recipe(augment=name)), theirs(name, side)
            ours = best_ms(lambda: augment(pictures, generator), args.repeats)  # noqa: B023
            other = best_ms(lambda: torch.stack([peer(one) for one in pictures]), args.repeats)  # noqa: B023
            print(f"| {n} of {n_channels} x {side} px | {name} | {ours:.1f} | {other:.1f} | {other / ours:.1f} |", flush=True)


if __name__ == "__main__":
    main()
