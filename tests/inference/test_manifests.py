from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tellapart.errors import BundleError
from tellapart.inference.manifests import CHECKS, FILE_NAME, FORMAT, USUAL, Manifest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
VALID: dict[str, Any] = {
    "kind": "tellapart-classifier",
    "format": USUAL,
    "classes": ["daisy", "rose"],
    "fit": {"side_px": 224, "mode": "crop", "crop_frac": 0.875},
    "arch": "efficientnet_lite0",
    "weights": "bundled",
    "weights_sha256": "0" * 64,
    "unknown_below": 0.5,
    "data_sha256": "0" * 64,
    "recipe": {"seed": 0},
    "figures": {"n_train": 9, "counts": {"cat": 5, "dog": 4}, "penalty": 1e-4, "temperature": 0.9},
    "versions": {"numpy": "2.0"},
    "created": "2025-01-01T00:00:00+00:00",
    "files": {},
}


def read(folder: Path, content: bytes | str) -> Manifest:
    (folder / FILE_NAME).write_bytes(content if isinstance(content, bytes) else content.encode())
    return Manifest.read(folder)


def test_a_manifest_survives_json(tmp_path: Path) -> None:
    manifest = Manifest.from_json(VALID)
    assert read(tmp_path, json.dumps(manifest.to_json())) == manifest
    assert manifest.to_json() == {**VALID, "classes": ("daisy", "rose"), "n_channels": 3}


def test_other_channels_are_told_in_a_format_that_older_versions_refuse(tmp_path: Path) -> None:
    manifest = Manifest.from_json({**VALID, "format": 2, "n_channels": 5})
    assert manifest.fit.n_channels == 5
    assert (manifest.to_json()["format"], manifest.to_json()["n_channels"]) == (2, 5)
    assert read(tmp_path, json.dumps(manifest.to_json())) == manifest
    with pytest.raises(BundleError, match="'fit' is not possible: n_channels is 0; it is 3 for grey and coloured pictures"):
        Manifest.from_json({**VALID, "n_channels": 0})


def test_unknown_fields_are_left_alone() -> None:
    assert Manifest.from_json({**VALID, "added_later": 1}) == Manifest.from_json(VALID)


# Several labels a picture ---------------------------------------------------------------------------------------------

SEVERAL: dict[str, Any] = {**VALID, "format": FORMAT, "thresholds": {"daisy": 0.25, "rose": 0.5}}


def test_thresholds_survive_json_in_the_order_of_the_classes(tmp_path: Path) -> None:
    manifest = read(tmp_path, json.dumps({**SEVERAL, "thresholds": {"rose": 0.5, "daisy": 0.25}}))
    assert manifest.several
    assert list(manifest.thresholds or {}) == ["daisy", "rose"]
    assert read(tmp_path, json.dumps(manifest.to_json())) == manifest
    assert manifest.to_json()["format"] == FORMAT


def test_a_manifest_of_one_label_is_what_older_versions_read() -> None:
    written = Manifest.from_json(VALID).to_json()
    assert written["format"] == USUAL
    assert "thresholds" not in written


@pytest.mark.parametrize(
    "thresholds",
    [None, {}, [0.5, 0.5], {"daisy": 0.5}, {"daisy": 0.5, "rose": 0.5, "owl": 0.5}, {"daisy": 0.5, "rose": 1.5},
     {"daisy": 0.5, "rose": True}, {"daisy": 0.5, "rose": "0.5"}, {"daisy": 0.5, "rose": float("nan")}],
)  # fmt: skip
def test_wrong_thresholds_are_damage(thresholds: object) -> None:
    with pytest.raises(BundleError, match="'thresholds' is not an object of a number from 0 to 1 for each class"):
        Manifest.from_json({**SEVERAL, "thresholds": thresholds})


@settings(deadline=None)
@given(thresholds=JSON | st.dictionaries(st.sampled_from(["daisy", "rose", "owl"]), st.floats() | st.integers() | st.booleans()))
def test_whatever_the_thresholds_they_are_read_or_damage(thresholds: Any) -> None:
    try:
        found = Manifest.from_json({**SEVERAL, "thresholds": thresholds}).thresholds
    except BundleError:
        return
    assert found == thresholds
    assert set(found or {}) == {"daisy", "rose"}
    assert all(0 <= value <= 1 for value in (found or {}).values())


def test_a_newer_format_asks_for_an_upgrade() -> None:
    text = rf"manifest\.json is of format {FORMAT + 1}; this Tellapart reads up to {FORMAT}.*pip install -U tellapart"
    with pytest.raises(BundleError, match=text):
        Manifest.from_json({**VALID, "format": FORMAT + 1, "classes": "something else by then"})


@pytest.mark.parametrize("found", [0, -1, True, "1", None, 1.5, [1]])
def test_a_format_that_is_no_number_is_damage(found: object) -> None:
    with pytest.raises(BundleError, match=r"is damaged: its format is .*, not a number"):
        Manifest.from_json({**VALID, "format": found})


@pytest.mark.parametrize("name", CHECKS)
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(BundleError, match=f"manifest.json is damaged: '{name}' is missing"):
        Manifest.from_json({key: value for key, value in VALID.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("kind", "cake", "is not a classifier's manifest: its kind is 'cake', not 'tellapart-classifier'"),
        ("classes", ["rose"], "'classes' is not a list of at least 2 different names"),
        ("classes", ["rose", "rose"], "'classes' is not a list of at least 2 different names"),
        ("classes", ["rose", 1], "'classes' is not a list of at least 2 different names"),
        ("classes", {"rose": 1, "daisy": 2}, "'classes' is not a list of at least 2 different names"),
        ("unknown_below", True, "'unknown_below' is not a number"),
        ("figures", {"n_train": 9, "counts": {}}, "'figures' is not an object with n_train, counts, penalty and temperature"),
        ("files", {"model.onnx": 1}, "'files' is not an object of texts"),
        ("fit", {"side_px": 4}, "'fit' is not possible: the input side is 4 px; whole numbers between 8 and 4096 are possible"),
        ("fit", {"width": 224}, "'fit' is not possible: "),
        ("fit", {"mode": ["crop"]}, "'fit' is not possible: "),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object, text: str) -> None:
    with pytest.raises(BundleError, match=text):
        Manifest.from_json({**VALID, name: value})


def test_a_side_that_is_no_whole_number_is_refused() -> None:
    with pytest.raises(BundleError, match="'fit' is not possible"):
        Manifest.from_json({**VALID, "fit": {"side_px": 96.5}})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", r"manifest\.json is damaged \(not JSON: "),
        (b"{", r"manifest\.json is damaged \(not JSON: "),
        (b"\xff\xfe\x00", r"manifest\.json is damaged \(not JSON: "),
        (b"[" * 100_000, r"manifest\.json is damaged \(not JSON: "),
        (b"1" * 10_000, r"manifest\.json is damaged \(not JSON: "),
        (b"[]", r"manifest\.json is damaged: it holds a list, not an object"),
        (b"{}", "is not a classifier's manifest: its kind is None"),
    ],
    ids=["empty", "broken off", "no text", "deep", "long number", "list", "empty object"],
)
def test_garbage_is_damage(tmp_path: Path, content: bytes, text: str) -> None:
    with pytest.raises(BundleError, match=text):
        read(tmp_path, content)


def test_no_manifest_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"holds no classifier: there is no manifest\.json in it\. Give a run or an exported bundle\."
    ):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/file", "..", ".", "", "a\0b"])
def test_files_outside_of_the_bundle_are_not_looked_at(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "bundle"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("x")
    with pytest.raises(BundleError, match=r"is damaged: .* is missing"):
        Manifest.from_json({**VALID, "files": {name: "0" * 64, "model.onnx": "", "head.safetensors": ""}}).verify(folder)


@given(value=JSON)
@settings(max_examples=100, deadline=None)
def test_any_json_object_is_a_manifest_or_refused(value: Any) -> None:
    try:
        manifest = Manifest.from_json(value if isinstance(value, dict) else {"kind": value})
    except BundleError:
        return
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


@given(content=st.binary(max_size=200))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BundleError):
        read(tmp_path, content)


@given(name=st.sampled_from(sorted(VALID)), part=st.none() | st.sampled_from(["side_px", "mode", "crop_frac"]), value=JSON)
@settings(max_examples=200, deadline=None)
def test_a_changed_field_is_a_manifest_or_refused(name: str, part: str | None, value: Any) -> None:
    changed = copy.deepcopy(VALID)
    if part is None:
        changed[name] = value
    else:
        changed["fit"][part] = value
    try:
        manifest = Manifest.from_json(changed)
    except BundleError:
        return
    assert len(manifest.classes) >= 2
    json.dumps(manifest.to_json())


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_byte_is_a_manifest_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(json.dumps(VALID).encode())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        manifest = read(tmp_path, bytes(content))
    except BundleError:
        return
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
