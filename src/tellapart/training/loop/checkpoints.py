"""checkpoint.safetensors: all that a training needs to go on after a kill, with nothing in it that could run.

The tensors are the file's, the rest is JSON in its header; so both are of one moment, and the file is whole or not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from tellapart.errors import BundleError, CallError
from tellapart.files import write_atomically
from tellapart.training.loop.learner import Learner, Tensors
from tellapart.training.loop.states import State

CHECKPOINT = "checkpoint.safetensors"
FORMAT, VERSION = "tellapart training checkpoint", 1
BEGIN_AGAIN = "Delete it to begin again."


def save_checkpoint(folder: Path, learner: Learner, state: State, plan: Mapping[str, Any]) -> None:
    """Write where `learner` stands, atomically. `plan` is what the training was asked for.

    A training that is over keeps its best weights alone.

    Raises StorageError.
    """
    tensors, memory = ({}, {}) if state.is_over else _living(learner)
    tensors |= {f"best.{name}": tensor for name, tensor in learner.best.items()}
    header = {"format": FORMAT, "version": VERSION, "plan": plan, "state": state.to_json(), **memory}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(folder / CHECKPOINT, save(plain, {"tellapart": json.dumps(header)}))


def load_checkpoint(folder: Path, learner: Learner, plan: Mapping[str, Any]) -> State | None:
    """Put `learner` where the checkpoint in `folder` stands, and return the rest of it; None where there is no checkpoint.

    Raises BundleError where it is damaged or of another format, CallError where it is of a training with another plan.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    header, tensors = _read(path)
    try:
        _refuse_other_plan(path, header["plan"], plan)
        state = State.from_json(header["state"])
        learner.best = _under("best", tensors)
        if not state.is_over:
            _revive(learner, header, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BundleError(f"{path} is damaged ({' '.join(str(error).split())}). {BEGIN_AGAIN}") from error
    return state


def _living(learner: Learner) -> tuple[Tensors, dict[str, Any]]:
    """The tensors of a training that goes on, and what its optimizer remembers besides."""
    tensors = {f"network.{name}": tensor for name, tensor in learner.network.state_dict().items()}
    numbers: dict[str, Any] = {}
    known = learner.optimizer.state_dict()
    for i, values in known["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{i}.{name}"] = value
            else:
                numbers[f"{i}.{name}"] = value
    if learner.average:
        tensors |= {f"average.{name}": tensor for name, tensor in learner.average.state().items()}
    groups: list[dict[str, Any]] = [{} for _ in known["param_groups"]]
    for i, group in enumerate(known["param_groups"]):
        for name, value in group.items():
            if isinstance(value, torch.Tensor):
                tensors[f"group.{i}.{name}"] = value  # LAMB's count of steps
            elif name != "params":
                groups[i][name] = value
    n_averaged = learner.average.n_steps if learner.average else 0
    return tensors, {"optimizer": numbers, "groups": groups, "n_averaged": n_averaged}


def _revive(learner: Learner, header: Mapping[str, Any], tensors: Tensors) -> None:
    learner.network.load_state_dict(_under("network", tensors))
    if learner.average:
        learner.average.restore(_under("average", tensors), header["n_averaged"])
    parameters = [parameter for group in learner.optimizer.param_groups for parameter in group["params"]]
    remembered: list[tuple[str, Any]] = [*_under("optimizer", tensors).items(), *header["optimizer"].items()]
    for key, value in remembered:
        number, _, name = key.partition(".")
        parameter = parameters[int(number)]
        learner.optimizer.state[parameter][name] = _as_stored(value, parameter)
    for group, values in zip(learner.optimizer.param_groups, header["groups"], strict=True):
        group.update({name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    for key, value in _under("group", tensors).items():
        number, _, name = key.partition(".")
        learner.optimizer.param_groups[int(number)][name] = value


def _as_stored(value: Any, parameter: torch.Tensor) -> Any:
    """In the layout and on the device that the optimizer would have given it: in another one, sums round otherwise."""
    if not isinstance(value, torch.Tensor) or value.shape != parameter.shape or value.ndim == 0:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _under(room: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(f"{room}."): tensor for name, tensor in tensors.items() if name.startswith(f"{room}.")}


def _read(path: Path) -> tuple[dict[str, Any], Tensors]:
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("tellapart", "null"))
            tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
    except (SafetensorError, ValueError) as error:
        raise BundleError(f"{path} is damaged or cut short ({error}). {BEGIN_AGAIN}") from error
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise BundleError(f"{path} is not a {FORMAT}. {BEGIN_AGAIN}")
    if header.get("version") != VERSION:
        raise BundleError(
            f"{path} has format {header.get('version')}, known is {VERSION}. Go on with what wrote it. {BEGIN_AGAIN}"
        )
    return header, tensors


def _refuse_other_plan(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    plain = json.loads(json.dumps(wanted))
    others = [name for name in {**found, **plain} if found.get(name) != plain.get(name)]
    if others:
        shown = "; ".join(f"{name} was {found.get(name)!r}, is {plain.get(name)!r}" for name in others[:5])
        raise CallError(f"{path} is of another training: {shown}. Go on with what it was begun with, or choose another folder.")
