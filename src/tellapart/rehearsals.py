"""Before a training: what its pictures would look like, which backbone and which rate suit them, and what the network is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.comparing import RUNS_FOLDER
from tellapart.data import ImageTable
from tellapart.data.looks import n_channels_of
from tellapart.errors import CallError
from tellapart.files import write_atomically
from tellapart.images import Fit
from tellapart.progress import Progress, silent
from tellapart.runs.beginnings import begin
from tellapart.runs.choices import Choices
from tellapart.runs.clock import Clock
from tellapart.runs.networks import lesson_of, policy_after, refuse_missing_torch, summary_of
from tellapart.shootouts import Shootout, shootout
from tellapart.training import Recipe
from tellapart.training.charts import svg
from tellapart.words import counted

if TYPE_CHECKING:
    from tellapart.training.loop.finder import RateSweep
    from tellapart.training.loop.lessons import Lesson
    from tellapart.training.networks.summary import Summary


def compare_backbones(source: Any, recipe: Recipe, choices: Choices, *, progress: Progress = silent) -> Shootout:
    """`shootout` of the backbones that the recipe names, commas between them, on the training pictures of `train`."""
    archs = [name.strip() for name in recipe.arch.split(",") if name.strip()]
    return shootout(_split(source, recipe, choices, progress), recipe, archs, progress=progress)


@dataclass(frozen=True)
class Preview:
    """Varied pictures as a PNG, and what was left out or added after a look at the pictures, a sentence each."""

    page: Path
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"page": str(self.page), "notes": list(self.notes)}

    def text(self) -> str:
        """What a terminal shows."""
        return "\n".join([str(self.page), *(f"note: {note}" for note in self.notes)])


def write_preview(source: Any, recipe: Recipe, choices: Choices, out: Path | None, *, progress: Progress = silent) -> Preview:
    """Write a few training pictures as they are and as `train` would vary them, a row each.

    What changes a label is left out as it would be there, for which a head is fitted first. The PNG is by default
    runs/preview-<data>.png, written anew each time. A recipe that trains the head alone is taken as if it trained the network.
    Raises CallError for another suffix, a file that is there and a recipe of no epochs, and MissingExtraError without PyTorch.
    """
    recipe, out = _of_network(recipe), _place_of(source, out, "preview", (".png",))
    refuse_missing_torch("a preview of varied pictures")
    from tellapart.training.augment.augmenters import augmenter  # imports torch
    from tellapart.training.augment.preview import preview, write_preview

    beginning = begin(choices.read(source, progress), recipe, choices, Clock(), progress)
    paths = list(beginning.whole.in_split("train").paths)
    checked = policy_after(beginning.fitted, recipe) if beginning.fitted else None
    fit = Fit(recipe.side_px, recipe.fit, n_channels=n_channels_of(paths))
    varied = augmenter(recipe, policy=checked.policy if checked else None)
    write_preview(preview(paths, fit, varied, seed=recipe.seed), out)
    return Preview(out, checked.notes if checked else ())


@dataclass(frozen=True)
class RateFinding:
    """A sweep of rates over the network that a recipe trains, and where it is drawn."""

    sweep: RateSweep
    page: Path
    default: str  # what a training does where no rate is given, in a sentence

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return asdict(self.sweep) | {"suggestion": self.sweep.suggestion, "page": str(self.page), "default": self.default}

    def text(self) -> str:
        """What a terminal shows."""
        rates, sweep = self.sweep.rates, self.sweep
        lines = (
            f"steepest: {sweep.steepest:.2g} (where the loss falls fastest)",
            f"valley:   {sweep.valley:.2g} (half-way down the longest fall: the one to try, --lr {sweep.suggestion:.2g})",
            f"swept:    {counted(len(rates), 'rate')} from {rates[0]:.2g} to {rates[-1]:.2g}; nothing was trained",
            f"note: {self.default}",
            f"curve:    {self.page}",
        )
        return "\n".join(lines)


def find_rate(source: Any, recipe: Recipe, choices: Choices, out: Path | None, *, progress: Progress = silent) -> RateFinding:
    """Sweep the rates of the network that `train` would train, on its pictures and with its settings, and draw the curve.

    Nothing is trained. The curve is an HTML page or an SVG, by default runs/rates-<data>.html, written anew each time. A recipe
    that trains the head alone is taken as if it trained the network. Raises CallError for another suffix, a file that is there
    and a recipe of no epochs, MissingExtraError without PyTorch, and as the preparation of a training and its sweep do.
    """
    recipe, out = _of_network(recipe), _place_of(source, out, "rates", (".html", ".svg"))
    refuse_missing_torch("a sweep of rates")
    from tellapart.training.loop.teaching import sweep_rates  # imports torch
    from tellapart.training.plots import sweep_chart, write_page

    beginning = begin(choices.read(source, progress), recipe, choices, Clock(), progress)
    lesson = lesson_of(beginning, recipe, progress=progress)
    found = RateFinding(sweep_rates(lesson, progress=progress), out, _default(lesson))
    if out.suffix.lower() == ".svg":
        write_atomically(out, svg(sweep_chart(found.sweep)))
    else:
        write_page((), out, title=out.stem, sweep=found.sweep, notes=[found.default])
    return found


def summarize_network(source: Any, recipe: Recipe, choices: Choices, *, progress: Progress = silent) -> Summary:
    """Layers, shapes and parameters of the network that `train` would train on these pictures; nothing is trained.

    A recipe that trains the head alone is taken as if it trained the network. Raises CallError for a recipe of no epochs,
    MissingExtraError without PyTorch, and as the making of the network does.
    """
    recipe = _of_network(recipe)
    refuse_missing_torch("a summary of the network")
    return summary_of(_split(source, recipe, choices, progress).in_split("train"), recipe, progress=progress)


def _of_network(recipe: Recipe) -> Recipe:
    if recipe.epochs == 0:
        raise CallError("with 0 epochs no network is trained, only a head: leave --epochs out, or give 1 or more")
    return recipe if recipe.trains_network else replace(recipe, epochs=1)


def _default(lesson: Lesson) -> str:
    """What a training does where no rate is given."""
    own = replace(lesson.recipe, lr=None).settled.lr
    if lesson.default_lr is not None:
        return (
            f"Where no rate is given, the last stages are trained at {lesson.default_lr:g}. A sweep tells more of the head, "
            "which begins with zeros, than of them: try its rate against that one."
        )
    if own is not None:
        return f"Where no rate is given, {lesson.recipe.arch} is trained at {own:g}, without a sweep."
    return "Where no rate is given, a training makes such a sweep itself and takes its valley."


def _place_of(source: Any, out: Path | None, kind: str, suffixes: tuple[str, ...]) -> Path:
    """Where to write: as asked, or runs/<kind>-<data>; raises CallError for another suffix and a file that is there."""
    if out is None:
        name = Path(source).resolve().stem if isinstance(source, str | Path) else "pictures"
        return RUNS_FOLDER / f"{kind}-{name}{suffixes[0]}"
    if out.suffix.lower() not in suffixes:
        raise CallError(f"--out {out}: its name must end in {' or '.join(suffixes)}")
    if out.exists():
        raise CallError(f"{out} is there already; nothing is overwritten. Choose another name.")
    return out


def _split(source: Any, recipe: Recipe, choices: Choices, progress: Progress) -> ImageTable:
    return choices.split(choices.read(source, progress), recipe)
