"""How far the frozen head lets pictures be varied: not where labels change, by any angle where turning tells nothing."""

from __future__ import annotations

from dataclasses import replace

from tellapart.training.augment.checked import Checked, check_policy
from tellapart.training.augment.policies import GLARED, Policy
from tellapart.training.augment.safety import Survival
from tellapart.training.trainer import Fitted

FEWEST = 100  # views, below which nothing is told; a guess
KEPT = 0.95  # of the answers; quarter turns keep 97 % on coins and 93 % on flowers, crops 92 % and 100 %: docs/tails.md
ANY = 180.0  # degrees to either side
TINT = 0.15  # of each channel, where the light is varied at all: 0.4 points on new grounds, docs/tails.md
GLARE = 0.6  # where none is zoomed, as of coins, which reflect lamps: some half a point on new grounds, docs/tails.md
BLUR = 0.3  # of the pictures, where none is zoomed, which would vary their sharpness: a point on new grounds, docs/tails.md


def suited_policy(policy: Policy, fitted: Fitted) -> Checked:
    """`check_policy`: the policy without what changes labels or answers, with turns by any angle where they change none; and why.

    Where it varies the light it varies its colour, too; where it no longer zooms, how sharp pictures are and how much they glare.

    The head has seen no varied picture, so that one which it sees as its class all the same shows what tells its class: a six
    that is turned into a nine does not, nor a coin that is zoomed to the size of another. Pictures that are not turned at all by
    the policy stay so. Takes some 5 s.
    """
    checked = check_policy(policy, fitted)
    suited, notes = checked.policy, list(checked.notes)
    if suited.light:
        suited = replace(suited, tint=TINT)
    turn = next((one for one in checked.survivals if one.transform == "turn"), None)
    if turn is None or turn.n < FEWEST:
        return replace(checked, policy=suited)
    if turn.kept_by_crops < KEPT and (suited.zoom > 1 or suited.warp):
        suited = replace(suited, zoom=1.0, warp=0.0, blur=BLUR, glare=GLARE if suited.light else 0.0)
        brighter = f", {GLARED:.0%} up to {GLARE:.0%} brighter" if suited.light else ""
        notes.append(
            f"Pictures are neither zoomed nor warped: size tells, crops keep only {turn.kept_by_crops:.0%} of the answers. "
            f"{BLUR:.0%} are shown at half their resolution instead{brighter}."
        )
    if suited.degrees and _is_free(turn):
        suited = replace(suited, degrees=ANY)
        notes.append(f"Pictures are turned by any angle: quarter turns keep {turn.kept:.0%} of the answers.")
    return replace(checked, policy=suited, notes=tuple(notes))


def _is_free(turn: Survival) -> bool:
    return turn.is_safe and turn.kept >= KEPT
