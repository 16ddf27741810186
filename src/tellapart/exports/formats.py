"""A classifier in the formats of others, each with a table of what it keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tellapart import __version__
from tellapart.errors import BundleError, CallError, TellapartError, unknown_name
from tellapart.evaluation.judged import percent
from tellapart.exports.graphs import described, network_of
from tellapart.exports.parity import Comparison, Row, Yardstick, pictures_of, refuse_unjudged
from tellapart.exports.quantizing import FLOAT_LAYERS, calibration_pixels, quantized
from tellapart.exports.texts import plain_environment
from tellapart.files import refuse_used, write_atomically, write_json
from tellapart.inference import Classifier
from tellapart.inference.manifests import FILE_NAME
from tellapart.inference.runtimes import LIBRARIES, OpenVino, import_openvino
from tellapart.progress import Progress, silent
from tellapart.training.bundles import PARITY_TOLERANCE

MOST_LOST = 0.005  # of the accuracy: what int8 may cost
COMPARISON_FILE = "comparison.json"
README_FILE = "README.md"
MODEL_FILE = "model.json"


def export_format(
    path: str | Path, out: str | Path, kind: str, *, data: str | Path | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Write the run (or bundle) at `path` to the new folder `out` in the format `kind`, one of `FORMATS`; returns what
    `tellapart export --json` prints.

    It is compared to its bundle on the labelled pictures of `data`, else on those that the run held back to validate on. Nothing
    is written, and TellapartError raised, where int8 costs more than half a point of accuracy; nor, with BundleError, where a
    float format differs by more than rounding. Raises CallError for an unknown format, where `out` holds something, and where
    there are no pictures to calibrate int8 on.
    """
    if kind not in FORMATS:
        raise unknown_name("format", kind, FORMATS)
    classifier, folder = Classifier.load(path), Path(out)
    refuse_used(folder)
    pictures = pictures_of(Path(path), classifier, data, progress=progress)
    with TemporaryDirectory(prefix="tellapart-") as temporary:
        draft = Path(temporary)
        yardstick = Yardstick(classifier, pictures, progress=progress)
        rows = FORMATS[kind](classifier, draft, yardstick)
        comparison = Comparison((yardstick.row, *rows), pictures.subject)
        write_json(draft / COMPARISON_FILE, {"format": kind, **comparison.to_json()})
        write_atomically(draft / README_FILE, _readme(kind, classifier, comparison))
        files = sorted(file.name for file in draft.iterdir())
        for name in files:
            write_atomically(folder / name, (draft / name).read_bytes())
    return {"out": str(folder), "files": files, "format": kind, "table": comparison.table(), **comparison.to_json()}


def _as_onnx(classifier: Classifier, draft: Path, yardstick: Yardstick) -> list[Row]:
    _write_bundle(classifier, draft, network_of(classifier).SerializeToString())
    copy = Classifier.load(draft, library="onnxruntime")
    return [_refuse_different(yardstick.row_of(copy, "model.onnx", [draft / "model.onnx"]))]


def _as_openvino(classifier: Classifier, draft: Path, yardstick: Yardstick) -> list[Row]:
    if find_spec("openvino") is None:
        raise CallError("OpenVINO is not installed here; some machines have no wheel of it. Other formats: onnx, onnx-int8")
    openvino = import_openvino()

    files, network = [draft / "model.xml", draft / "model.bin"], network_of(classifier).SerializeToString()
    graph = OpenVino(network).core.read_model(network)  # anew, as the runtime's own is bound to its batches
    openvino.save_model(graph, files[0])  # weights in float16: half the size, and finer than bf16, which they are multiplied in
    write_json(draft / MODEL_FILE, described(classifier))
    copy = classifier.running_on(OpenVino(files[0]))
    return [_refuse_different(yardstick.row_of(copy, "model.xml", files))]


def _as_int8(classifier: Classifier, draft: Path, yardstick: Yardstick) -> list[Row]:
    """The first way of quantizing whose answers are as often right, in every runtime at hand."""
    refuse_unjudged(yardstick)
    pictures = yardstick.pictures
    model, libraries = network_of(classifier), [name for name in LIBRARIES if find_spec(name)]
    pixels = calibration_pixels(pictures.calibration, classifier.manifest.fit)
    lost: list[float] = []
    for n_float in FLOAT_LAYERS:
        _write_bundle(classifier, draft, quantized(model, pixels, n_float))
        copies = [Classifier.load(draft, library=name) for name in libraries]
        rows = [yardstick.row_of(copy, "model.onnx, int8", [draft / "model.onnx"]) for copy in copies]
        lost.append(max((yardstick.row.accuracy or 0) - (row.accuracy or 0) for row in rows))
        if lost[-1] <= MOST_LOST + 1e-9:  # half a point is a difference of two rounded quotients
            return rows
    n = rows[0].n
    few = f" One picture of {n:,} is {100 / n:.1f} points: more of them tell better, --data FOLDER." if 1 / n > MOST_LOST else ""
    raise TellapartError(
        f"int8 costs {100 * min(lost):.1f} points of accuracy on {n:,} {pictures.subject}, of which "
        f"{percent(yardstick.row.accuracy)} are right without it; at most {100 * MOST_LOST} are given away. Nothing was written. "
        f"Use --format onnx.{few}"
    )


def _write_bundle(classifier: Classifier, folder: Path, network: bytes) -> None:
    """The bundle with another network of the same inputs and outputs."""
    contents = {name: (classifier.folder / name).read_bytes() for name in classifier.manifest.files} | {"model.onnx": network}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write_json(folder / FILE_NAME, replace(classifier.manifest, files=hashes).to_json())


def _refuse_different(row: Row) -> Row:
    """Raise BundleError where a format that promises the same numbers gives others, and not for a rare picture alone."""
    if row.usual_difference is not None and not row.usual_difference <= PARITY_TOLERANCE:
        raise BundleError(
            f"{row.network} in {row.runtime} differs from the bundle by {row.usual_difference:.3f} or more in a probability of "
            f"every twentieth picture (at most {PARITY_TOLERANCE} is rounding). Nothing was written. Please report this."
        )
    return row


def _readme(kind: str, classifier: Classifier, comparison: Comparison) -> str:
    manifest = classifier.manifest
    known = {
        "kind": kind,
        "version": __version__,
        "manifest": manifest,
        "fit": manifest.fit,
        "table": comparison.table(),
        "subject": comparison.subject,
        "is_judged": bool(comparison.rows[0].n),
    }
    return plain_environment().get_template("format.md").render(known)


FORMATS: dict[str, Callable[[Classifier, Path, Yardstick], list[Row]]] = {
    "onnx": _as_onnx,
    "onnx-int8": _as_int8,
    "openvino": _as_openvino,
}
