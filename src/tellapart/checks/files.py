"""Findings about files: what cannot be read, and what is not what its name says."""

from __future__ import annotations

import os
from pathlib import PurePath

import numpy as np

from tellapart.checks.evidence import Evidence
from tellapart.checks.findings import Finding, short_name
from tellapart.data.edits import Proposal
from tellapart.data.table import UNREADABLE, Skipped

# Suffixes under which programs expect a format, by Pillow's name for it; the first is the one to suggest.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "DIB": (".dib", ".bmp"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
}


def find_broken(evidence: Evidence) -> list[Finding]:
    """What was meant as a picture, or to hold some, and cannot be read as such: empty, cut off, damaged, or something else."""
    return [_broken(skip) for skip in evidence.table.skipped if skip.kind == UNREADABLE]


def _broken(skip: Skipped) -> Finding:
    proposals = (Proposal(skip.path, skip.sha256, "drop"),) if skip.sha256 else ()
    text = f"{short_name(skip.path)}: {skip.reason}."
    return Finding("broken", (skip.path,), 1.0, text, "Fetch or export it again, or drop it.", proposals)


def find_wrong_extension(evidence: Evidence) -> list[Finding]:
    """Files whose content is of another format than their name says; without a suffix a name says nothing."""
    formats, which = np.unique(evidence.glances["format"], return_inverse=True)
    expected = [SUFFIXES.get(name.decode(), ()) for name in formats]
    found = []
    for path, place in zip(evidence.table.paths, which, strict=True):
        suffix = PurePath(path).suffix.lower()
        if suffix and expected[place] and suffix not in expected[place] and not _is_member(path):
            found.append(_wrong_extension(path, suffix, formats[place].decode(), expected[place][0]))
    return found


def _is_member(path: str) -> bool:
    """Whether it is a part of a container, `CONTAINER#MEMBER`, whose name says nothing of its format."""
    return "#" in path and not os.path.exists(path)


def _wrong_extension(path: str, suffix: str, name: str, right: str) -> Finding:
    text = f"{short_name(path)} is named {suffix} but is a {name} file."
    return Finding("wrong_extension", (path,), 0.5, text, f"Rename it to {PurePath(path).with_suffix(right).name}.")
