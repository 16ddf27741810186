"""A page that says what is on pictures without asking a server: the network runs in the browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tellapart import __version__, pages
from tellapart.errors import CallError
from tellapart.exports.copying import name_of, parity_of
from tellapart.exports.graphs import described, network_of
from tellapart.exports.texts import plain_environment
from tellapart.exports.wheels import PACKAGE
from tellapart.files import refuse_used, write_atomically, write_json
from tellapart.images.limits import RGB_CHANNELS
from tellapart.inference import Classifier
from tellapart.inference.runtimes import load_runtime

SERVED = PACKAGE / "server" / "page"  # by its place: importing the server needs the extra `serve`
OWN = Path(__file__).parent / "page"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'"
)
SCRIPTS = ("ort/ort.wasm.min.js", "local.js", "page.js")  # in this order
# What is otherwise where there is no server to ask: (what the served page says, what this one does).
CHANGES = (
    (r"<meta charset[^>]*>", rf'\g<0>\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
    (r"<script src=[^>]*></script>", "\n".join(f'<script src="{name}" defer></script>' for name in SCRIPTS)),
    (r"<noscript>.*?</noscript>", '<noscript><p class="notice">This page needs JavaScript.</p></noscript>'),
    (r"<footer>.*?</footer>", "<footer>Pictures do not leave this device.</footer>"),
)


def export_web(path: str | Path, out: str | Path, *, name: str | None = None) -> dict[str, Any]:
    """Write a folder `out` with a page that runs the run (or bundle) at `path`; returns what `tellapart export --json` prints.

    The page calls the classifier `name`, by default that of its folder. The network is checked as by `export`. onnxruntime-web is
    not written: the folder's README.md says how to get it. Raises CallError where `out` holds something, and for a classifier of
    other pictures than grey and coloured ones.
    """
    classifier, folder = Classifier.load(path), Path(out)
    if (n_channels := classifier.manifest.fit.n_channels) != RGB_CHANNELS:
        raise CallError(f"browsers read red, green and blue, and this classifier takes {n_channels} channels: serve it instead")
    refuse_used(folder, option="--web")
    network = network_of(classifier).SerializeToString()
    n_pictures, difference = parity_of(
        classifier, classifier.running_on(load_runtime(network, library="onnxruntime")), Path(path)
    )
    name = name or name_of(Path(path))
    readme = plain_environment().get_template("web.md")
    contents: dict[str, bytes | str] = {
        "README.md": readme.render(name=pages.shown(name), version=__version__, megabytes=f"{len(network) / 1e6:.1f}"),
        "index.html": page_html(),
        "model.onnx": network,
        "page.css": (pages.SHARED / "base.css").read_text(encoding="utf-8") + (SERVED / "page.css").read_text(encoding="utf-8"),
        "page.js": (SERVED / "page.js").read_bytes(),
        **{file.name: file.read_bytes() for file in OWN.iterdir()},
    }
    for file, content in contents.items():
        write_atomically(folder / file, content)
    write_json(folder / "model.json", {"name": name, **described(classifier)})
    files = sorted((*contents, "model.json"))
    return {"out": str(folder), "files": files, "n_pictures": n_pictures, "difference": difference}


def page_html() -> str:
    """The page of `tellapart serve`, asking `local.js` in place of a server."""
    html = (SERVED / "index.html").read_text(encoding="utf-8")
    for pattern, replacement in CHANGES:
        html, n_found = re.subn(pattern, replacement, html, flags=re.S)
        assert n_found == 1, pattern  # the served page was changed: see to CHANGES
    return html
