"""What the frozen head bears decides how far pictures are varied: labels that change, turning by any angle."""

from __future__ import annotations

from dataclasses import replace

from tellapart.training.augment.checked import check_policy
from tellapart.training.augment.policies import Policy
from tellapart.training.trainer import Fitted

FEWEST = 100  # views, below which nothing is told; a guess
LESS_THAN_CROPS = 0.02  # of the answers that may change beyond those that crops change; coins and flowers: docs/tuning.md
ANY = 180.0  # degrees to either side


def suited_policy(policy: Policy, fitted: Fitted) -> tuple[Policy, tuple[str, ...]]:
    """The policy without what changes labels, with turns by any angle where the head bears them as well as crops; and sentences.

    The head has seen no turned picture, so that one which it sees as its class all the same shows what tells its class.
    A six that is turned into a nine does not. Pictures that are not turned at all by the policy stay so. Takes some 5 s.
    """
    checked = check_policy(policy, fitted)
    if not checked.policy.degrees:
        return checked.policy, checked.notes
    turn = next(one for one in checked.survivals if one.transform == "turn")
    if turn.n < FEWEST or not turn.is_safe or turn.kept < turn.kept_by_crops - LESS_THAN_CROPS:
        return checked.policy, checked.notes
    return replace(checked.policy, degrees=ANY), (*checked.notes, f"Pictures are turned by any angle: {turn.sentence()}.")
