"""Train the Fashion-MNIST tutorials' CNN in plain PyTorch; prints one JSON object: seconds of each epoch, test accuracy.

    python bench/peers/torch_tutorial.py FOLDER [SEED] [LIMIT]

FOLDER holds the four IDX files. The loop is that of a README: eager, float32, PyTorch's own number of threads. Batches are
rows of one tensor of all pictures; a DataLoader would gather them one by one, which takes longer. Nothing is judged on between
epochs. The rates of RMSprop are Keras'.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from fashion_pictures import BATCH, EPOCHS, test_part, training_part
from torch import nn


def tutorial_cnn() -> nn.Module:
    return nn.Sequential(
        nn.BatchNorm2d(1),
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Conv2d(32, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(32 * 5 * 5, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def as_tensors(pictures: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 1, 28, 28) float32 of 0 to 1, and (N,) int64."""
    return torch.tensor(pictures[:, None]).float() / 255, torch.tensor(labels).long()


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, pictures: torch.Tensor, labels: torch.Tensor) -> None:
    model.train()
    for rows in torch.randperm(len(pictures)).split(BATCH):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pictures[rows]), labels[rows]).backward()
        optimizer.step()


def accuracy_on(model: nn.Module, pictures: torch.Tensor, labels: torch.Tensor) -> float:
    model.eval()
    with torch.no_grad():
        answers = torch.cat([model(batch).argmax(1) for batch in pictures.split(BATCH)])
    return (answers == labels).float().mean().item()


def main(folder: str, seed: str = "0", limit: str | None = None) -> None:
    torch.manual_seed(int(seed))
    most = int(limit) if limit else None
    training = as_tensors(*training_part(Path(folder), seed=int(seed), limit=most))
    judged = as_tensors(*test_part(Path(folder), limit=most))
    model, epoch_s = tutorial_cnn(), []
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)
    for _ in range(EPOCHS):
        start = time.perf_counter()
        train_epoch(model, optimizer, *training)
        epoch_s.append(time.perf_counter() - start)
    facts = {"threads": torch.get_num_threads(), "n_train": len(training[0]), "n_judged": len(judged[0])}
    print(json.dumps({"epoch_s": epoch_s, "accuracy": accuracy_on(model, *judged), **facts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
