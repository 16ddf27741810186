"""`Finding`: one thing about the pictures that a person should know before they train on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from tellapart.data.edits import Proposal

N_NAMED = 4  # pictures in a sentence


@dataclass(frozen=True)
class Kind:
    """A kind of finding: its title as a heading, and why it matters, in a sentence."""

    name: str
    title: str
    why: str


# The gravest first: what makes a score untrue, then what teaches wrong things, then what is merely of little use.
KINDS = (
    Kind("leak", "Copies across the split", "A score on pictures that were trained on says nothing about new ones."),
    Kind("mixed_labels", "One picture, two labels", "At least one of the labels is wrong, and no model can obey both."),
    Kind("wrong_label", "Labels that are likely wrong", "Wrong labels teach mistakes, and count right answers as wrong."),
    Kind("shortcut", "Shortcuts", "A model takes the easiest clue, and fails where the clue is missing."),
    Kind("off_topic", "Pictures that do not belong", "They belong to none of the classes, so whatever they teach is noise."),
    Kind("broken", "Files that cannot be read", "They are left out of everything."),
    Kind("copies", "Exact copies", "The same file again adds weight, not knowledge."),
    Kind("near_copies", "Near copies", "Almost the same picture again; parted by a split, it flatters the score."),
    Kind("imbalance", "Unbalanced classes", "A model leans to the class that it saw most, and the accuracy hides it."),
    Kind("too_few", "Too few pictures", "What is judged on a handful of pictures is luck."),
    Kind("blank", "Blank pictures", "One colour shows nothing."),
    Kind("blurred", "Blurred pictures", "What tells the classes apart may not be visible."),
    Kind("dark", "Dark pictures", "What tells the classes apart may not be visible."),
    Kind("bright", "Washed-out pictures", "What tells the classes apart may not be visible."),
    Kind("low_information", "Pictures with little in them", "A few flat tones where the others show a scene."),
    Kind("tiny", "Tiny pictures", "Enlarged to the size of the model's input, they are blots."),
    Kind("odd_aspect", "Odd shapes", "Made square, they lose their ends or their proportions."),
    Kind("wrong_extension", "Wrong extensions", "Other programs believe the name and fail."),
)
KIND_NAMES = tuple(kind.name for kind in KINDS)


@dataclass(frozen=True)
class Finding:
    """One finding of a kind of `KIND_NAMES`.

    `score` is 0..1, higher is surer or worse, and comparable only within a kind. `text` is a sentence with the figures,
    `suggestion` an act. `paths` are the pictures concerned; for a leak held-back and training picture in turn, for copies the
    one to keep first. `proposals` are the edits that would settle it, to be taken or not.
    """

    kind: str
    paths: tuple[str, ...]
    score: float
    text: str
    suggestion: str
    proposals: tuple[Proposal, ...] = ()


def short_name(path: str) -> str:
    """A picture as sentences name it: its folder and file, "rose/12.jpg"."""
    return "/".join(PurePath(path).parts[-2:])


def named(paths: Sequence[str]) -> str:
    """Pictures as sentences name them: "rose/1.jpg, rose/2.jpg and 3 more"."""
    names = [short_name(path) for path in paths[:N_NAMED]]
    if len(paths) > N_NAMED:
        return f"{', '.join(names)} and {len(paths) - N_NAMED:,} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
