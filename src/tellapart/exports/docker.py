"""A folder from which an image that serves a classifier is built, with what the usual platforms want to know of it."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tellapart import __version__
from tellapart.errors import CallError
from tellapart.exports.copying import copy_bundle, name_of
from tellapart.exports.texts import plain_environment
from tellapart.exports.wheels import own_wheel, requirement_ranges
from tellapart.files import refuse_used, write_atomically
from tellapart.inference import Classifier

MODEL = "model"
# What `tellapart serve` imports; a test holds that it is all. The rest of what Tellapart needs, 370 MB, trains and reads tables.
SERVING = (
    "fastapi", "httptools", "jinja2", "numpy", "openvino", "pillow", "python-multipart", "rich", "safetensors", "typer",
    "uvicorn", "uvloop",
)  # fmt: skip
MEMORY_MB = 1024  # at most: 200 at rest, 256 of bodies, 89 million pixels in RGB and RGBA
STOP_S = 40  # draining takes 30 s at most, leaving and closing another
FILES = (
    ".dockerignore", "Dockerfile", "README.md", "compose.yaml", "fly.toml", "kubernetes.yaml", "render.yaml", "requirements.txt",
    "start.sh",
)  # fmt: skip


def export_docker(path: str | Path, out: str | Path, *, name: str | None = None) -> dict[str, Any]:
    """Write a folder `out` that builds an image of the run (or bundle) at `path`; returns what `tellapart export --json` prints.

    The classifier is served under `name`, by default that of its folder. Raises CallError where `out` holds something or the
    name is none, and BundleError like `Classifier.load`.
    """
    classifier, folder = Classifier.load(path), Path(out)
    wanted = name or name_of(Path(path))
    if not (slug := slug_of(wanted)):
        raise CallError(f"{wanted!r} is no name for a service: it needs a letter or a digit. Choose one: --name coins")
    refuse_used(folder, option="--docker")
    copied = copy_bundle(classifier, folder / MODEL)
    wheel, content = own_wheel()
    write_atomically(folder / wheel, content)
    known = {
        "name": slug,
        "version": __version__,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "wheel": wheel,
        "requirements": requirement_ranges((*SERVING, *(["pillow-heif"] if find_spec("pillow_heif") else []))),
        "n_classes": len(classifier.classes),
        "memory_mb": MEMORY_MB,
        "stop_s": STOP_S,
    }
    for file in FILES:
        write_atomically(folder / file, plain_environment().get_template(f"docker/{file}").render(known))
    files = sorted([wheel, *FILES, *(f"{MODEL}/{one}" for one in copied)])
    return {"out": str(folder), "name": slug, "files": files}


def slug_of(name: str) -> str:
    """A name as hosts, images and platforms take it: small letters, digits and '-', at most 50; "" where nothing is left."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    slug = f"model-{slug}" if slug[:1].isdigit() else slug  # a service of Kubernetes begins with a letter
    return slug[:50].strip("-")
