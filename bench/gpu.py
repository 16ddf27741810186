"""Training ResNet-50 at 224 px on a GPU in bfloat16: pictures a second, and the share of its matrix rate. Prints JSON objects.

    python bench/gpu.py [--batch 256] [--steps 30] [--repeats 3]

The matrix rate is that of a product of two 8192 x 8192 matrices of random numbers, measured beside it. A training step counts as
three times the multiply-adds of looking at the pictures. Our own loop takes the steps: "step" has the pictures in the GPU's
memory already, "epoch" has them drawn, varied on the CPU (the default augmentation) and brought over.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch

from tellapart import Recipe
from tellapart.data import ImageTable
from tellapart.images import Fit
from tellapart.training.augment.augmenters import augmenter
from tellapart.training.loop.examples import Batch
from tellapart.training.loop.learner import Learner
from tellapart.training.networks.making import make_network
from tellapart.training.networks.pictures import PictureNetwork
from tellapart.training.networks.summary import summarize
from tellapart.training.pixels import Decoded, TrainingPixels

SIDE_PX, N_CLASSES = 224, 1000
MATRIX, PRODUCTS = 8192, 50
WARM_UP = 5  # steps that are not counted: cuDNN chooses its kernels in them


def main() -> None:
    args = parse()
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU here")
    device = torch.device("cuda")
    rate = statistics.median(matrix_rate(device) for _ in range(args.repeats))
    print(json.dumps({"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "matrix_tflop_s": rate / 1e12}))
    for compiled in (False, True):
        recipe = Recipe(arch="resnet50", weights="none", batch=args.batch, compile=compiled)
        pixels = pictures_of_noise(recipe, n=args.batch * args.steps)
        levels = pixels.decoded.channel_statistics()
        network = make_network(recipe, pixels.decoded.pixels, n_classes=N_CLASSES, levels=levels).to(device)
        flop = 3 * 2 * summarize(network, recipe, pixels.decoded.pixels[:1]).n_multiplications
        for name, batches in (("step", partial(repeated, pixels, args)), ("epoch", partial(pixels.batches, 0, args.batch))):
            rates = [pictures_per_s(network, recipe, batches) for _ in range(args.repeats)]
            median = statistics.median(rates)
            shown = {"measure": name, "compiled": compiled, "batch": args.batch, "n_steps": args.steps, "pictures_per_s": rates}
            print(
                json.dumps({**shown, "tflop_s": median * flop / 1e12, "share_of_matrix_rate": median * flop / rate}), flush=True
            )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=30, help="that are counted, of each run (default: 30)")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def matrix_rate(device: torch.device) -> float:
    """Operations a second of a bfloat16 product."""
    left, right = (torch.randn(MATRIX, MATRIX, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(WARM_UP):
        left @ right
    torch.cuda.synchronize()
    began = time.monotonic()
    for _ in range(PRODUCTS):
        left @ right
    torch.cuda.synchronize()
    return PRODUCTS * 2 * MATRIX**3 / (time.monotonic() - began)


def pictures_of_noise(recipe: Recipe, *, n: int) -> TrainingPixels:
    """`n` pictures that show nothing: what they show costs no time."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, 3, SIDE_PX, SIDE_PX), generator=generator, dtype=torch.uint8)
    names = [str(number) for number in range(N_CLASSES)]
    rows, nothing = tuple(map(str, range(n))), ("",) * n
    table = ImageTable(rows, rows, tuple(names[row % N_CLASSES] for row in range(n)), nothing, ("train",) * n, nothing)
    return TrainingPixels(Decoded(table, pixels, Fit(SIDE_PX), tuple(names)), recipe, augmenter(recipe))


def repeated(pixels: TrainingPixels, args: argparse.Namespace) -> Iterator[Batch]:
    """One batch again and again, in the GPU's memory."""
    batch = next(pixels.batches(0, args.batch))
    resident = Batch(batch.inputs.cuda(), batch.targets.cuda(), batch.weights)
    return (resident for _ in range(args.steps))


def pictures_per_s(network: PictureNetwork, recipe: Recipe, batches: Callable[[], Iterator[Batch]]) -> float:
    learner = Learner(network, recipe)
    learner.begin_pass(0)
    network.train()
    first = next(batches())
    for _ in range(WARM_UP):
        step(learner, first)
    torch.cuda.synchronize()
    began, n = time.monotonic(), 0
    for batch in batches():
        step(learner, batch)
        n += len(batch.inputs)
    torch.cuda.synchronize()
    return n / (time.monotonic() - began)


def step(learner: Learner, batch: Batch) -> None:
    learner.take_in(batch, n_rows=len(batch.inputs), is_last=True)
    learner.move(1e-3)


if __name__ == "__main__":
    main()
