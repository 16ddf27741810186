"""Findings about single pictures: too dark, too blurred, too small ... to show what they should.

What most of the pictures show is what the data are like, not a fault of each: see `COMMON_SHARE`.
"""

from __future__ import annotations

import numpy as np

from tellapart.checks.evidence import Evidence
from tellapart.checks.findings import Finding, short_name
from tellapart.data.edits import Proposal

# Chosen on 3,119 flowers, 2,830 coins, 150 pictures of other things and blurred copies of them (docs/findings/README.md).
DARK_BELOW = 0.35  # highlights; flags 1 in 500 flowers and 1 in 130 coins
BRIGHT_ABOVE = 0.75  # shadows; flags 1 in 1,000 flowers
BLURRED_BELOW = 0.012  # sharpness; finds 19 of 20 pictures blurred over 1 % of their longer side, and 1 flower in 1,000
BLANK_BELOW = 12 / 255  # colour range: what JPEG leaves of one colour; the flattest photograph has four times as much
LOW_BITS = 1.5  # entropy; the emptiest flower, a daisy on black, has 1.51
LOW_BITS_UNDER_MEDIAN = 2.0  # so that line drawings among line drawings are no finding
TINY_PX = 48  # shorter side; a guess: a fifth of the model's input
TINY_OF_MEDIAN = 0.5
ODD_ASPECT = 3.0  # longer over shorter side; 150 web pictures reach 2.8
ODD_OF_MEDIAN = 1.5
COMMON_SHARE = 0.5  # a guess: beyond it a property is the data's nature

LOOK_AGAIN = "Look at it; drop it if a person could not name it either."


def find_dark(evidence: Evidence) -> list[Finding]:
    """Pictures whose brightest parts are dark."""
    values = evidence.appearance.highlights
    text = "{name} is dark: 99 % of it lie below {value:.0%} of full brightness (below {limit:.0%} is dark)."
    return _found(evidence, "dark", values < DARK_BELOW, values, DARK_BELOW, text, LOOK_AGAIN)


def find_bright(evidence: Evidence) -> list[Finding]:
    """Pictures whose darkest parts are bright."""
    values = evidence.appearance.shadows
    text = "{name} is washed out: 95 % of it lie above {value:.0%} of full brightness (above {limit:.0%} is washed out)."
    return _found(evidence, "bright", (values > BRIGHT_ABOVE) & ~_is_blank(evidence), values, BRIGHT_ABOVE, text, LOOK_AGAIN)


def find_blurred(evidence: Evidence) -> list[Finding]:
    """Pictures without any fine detail."""
    values = evidence.appearance.sharpness
    text = "{name} is blurred: its sharpness is {value:.3f} (below {limit} is blurred)."
    return _found(evidence, "blurred", (values < BLURRED_BELOW) & ~_is_blank(evidence), values, BLURRED_BELOW, text, LOOK_AGAIN)


def find_blank(evidence: Evidence) -> list[Finding]:
    """Pictures of one colour; always a finding, however many they are."""
    values = evidence.appearance.colour_range
    text = "{name} is blank: its colours differ by {value:.1%} of the range (below {limit:.1%} is blank)."
    return [
        _finding(evidence, "blank", row, values, BLANK_BELOW, text, "Drop it.") for row in np.flatnonzero(_is_blank(evidence))
    ]


def find_low_information(evidence: Evidence) -> list[Finding]:
    """Pictures of few tones among pictures of many."""
    values = evidence.appearance.entropy_bits
    limit = min(LOW_BITS, float(np.median(values)) - LOW_BITS_UNDER_MEDIAN) if len(values) else 0.0
    text = "{name} holds little: its tones carry {value:.1f} bits a pixel (below {limit:.1f} is little here)."
    return _found(evidence, "low_information", (values < limit) & ~_is_blank(evidence), values, limit, text, LOOK_AGAIN)


def find_tiny(evidence: Evidence) -> list[Finding]:
    """Pictures far smaller than the others, and too small for the model."""
    sides = np.minimum(evidence.glances["width"], evidence.glances["height"]).astype(np.float32)
    limit = min(TINY_PX, TINY_OF_MEDIAN * float(np.median(sides))) if len(sides) else 0.0
    text = "{name} is tiny: its shorter side has {value:.0f} px (below {limit:.0f} is tiny here)."
    return _found(evidence, "tiny", sides < limit, sides, limit, text, "Fetch a larger version, or drop it.")


def find_odd_aspect(evidence: Evidence) -> list[Finding]:
    """Pictures far longer than the others."""
    width, height = (evidence.glances[name].astype(np.float32) for name in ("width", "height"))
    aspects = np.maximum(width, height) / np.maximum(np.minimum(width, height), 1)
    limit = max(ODD_ASPECT, ODD_OF_MEDIAN * float(np.median(aspects))) if len(aspects) else 0.0
    text = "{name} is {value:.1f} times as long as it is wide (above {limit:.1f} is odd here)."
    return _found(evidence, "odd_aspect", aspects > limit, aspects, limit, text, "Crop it to what it is about, or drop it.")


def _is_blank(evidence: Evidence) -> np.ndarray:
    blank: np.ndarray = evidence.appearance.colour_range < BLANK_BELOW
    return blank


def _found(
    evidence: Evidence, kind: str, flags: np.ndarray, values: np.ndarray, limit: float, text: str, suggestion: str
) -> list[Finding]:
    """A finding for each flagged picture, unless most pictures are so."""
    if not len(flags) or flags.mean() > COMMON_SHARE:
        return []
    return [_finding(evidence, kind, row, values, limit, text, suggestion) for row in np.flatnonzero(flags)]


def _finding(
    evidence: Evidence, kind: str, row: np.intp, values: np.ndarray, limit: float, text: str, suggestion: str
) -> Finding:
    path, value = evidence.table.paths[row], float(values[row])
    sentence = text.format(name=short_name(path), value=value, limit=limit)
    drop = Proposal(path, evidence.table.sha256[row], "drop")
    return Finding(kind, (path,), beyond(value, limit), sentence, suggestion, (drop,))


def beyond(value: float, limit: float) -> float:
    """How far a value is past its limit: 0.5 at the limit, towards 1 at zero below it or without bound above it."""
    ratio = min(value, limit) / max(value, limit, 1e-9)
    return 1 - 0.5 * max(ratio, 0.0)
