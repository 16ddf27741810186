"""What cannot be served is said at once."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Start


def test_an_absent_run_is_2(tellapart, tmp_path: Path) -> None:
    done = tellapart("serve", tmp_path / "absent", "--port", "0")
    assert done.returncode == 2
    assert "no such run or bundle" in done.stderr
    assert done.stdout == ""


def test_an_unknown_runtime_is_2(tellapart, run_folder: Path) -> None:
    done = tellapart("serve", run_folder, "--port", "0", env={"TELLAPART_RUNTIME": "nonsense"})
    assert done.returncode == 2
    assert "nonsense" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_bundle_is_1(tellapart, bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"nothing")
    done = tellapart("serve", bundle, "--port", "0")
    assert done.returncode == 1
    assert "model.onnx is damaged: its SHA-256 is not the manifest's" in done.stderr


def test_a_folder_without_a_bundle_is_1(tellapart, tmp_path: Path) -> None:
    done = tellapart("serve", tmp_path, "--port", "0")
    assert done.returncode == 1
    assert "there is no manifest.json in it" in done.stderr


def test_a_dead_link_is_2(tellapart, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("gone")
    done = tellapart("serve", tmp_path, "--port", "0")
    assert done.returncode == 2
    assert f"no such run or bundle: {tmp_path / 'gone'}" in done.stderr


def test_a_taken_port_is_2(tellapart, run_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = tellapart("serve", run_folder, "--port", str(port))
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use. Choose others: --host, --port" in done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["{run}", "{run}"], "there are two models 'run'; name them apart: NAME="),
        (["a/b={run}"], "'a/b' is no name for a model"),
        (["{run}", "--host", "no such host"], "cannot listen on no such host"),
        (["{run}", "--max-pictures", "300"], "--max-pictures 300 is more than --queue 256"),
        (["{run}", "--api-keys", "absent"], "cannot read the keys in absent"),
        (["{run}", "--port", "70000"], "Invalid value for '--port'"),
        ([], "Missing argument"),
    ],
)
def test_a_wrong_call_is_2(tellapart, run_folder: Path, words: list[str], text: str) -> None:
    done = tellapart("serve", *(word.format(run=run_folder) for word in words))
    assert done.returncode == 2
    assert text in done.stderr


@pytest.mark.parametrize("line", ["", "name abc", "one two three", "ünïcode", "a " + "0" * 64 + "\na " + "1" * 64])
def test_a_wrong_file_of_keys_is_2(tellapart, run_folder: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "keys").write_text(f"# a comment\n{line}\n")
    done = tellapart("serve", run_folder, "--api-keys", tmp_path / "keys")
    assert done.returncode == 2
    assert "keys" in done.stderr


def test_without_its_extra_it_names_it(tellapart, run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['fastapi'] = None\n")  # as if it were not installed
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = tellapart("serve", run_folder, env={"PYTHONPATH": path})
    assert done.returncode == 1
    assert "serving needs: pip install 'tellapart[serve]'" in done.stderr


def test_several_models_each_under_its_name(start: Start, run_folder: Path, tmp_path: Path, contents: list[bytes]) -> None:
    copied = shutil.copytree(run_folder / "bundle", tmp_path / "copied")
    with start(f"shapes={run_folder}", copied) as server:
        assert server.models == ["shapes", "copied"]
        assert [one["name"] for one in server.ask("GET", "/v1/models").json["models"]] == ["shapes", "copied"]
        assert server.predict(contents[0]).json["model"] == "shapes"
        assert server.predict(contents[0], "?model=copied").json["model"] == "copied"


def test_behind_a_prefix(start: Start, run_folder: Path, contents: list[bytes]) -> None:
    """Whether the proxy takes the prefix away or not."""
    with start(run_folder, "--root-path", "coins/") as server:
        assert server.url == f"http://127.0.0.1:{server.port}/coins"
        for prefix in ("", "/coins"):
            assert server.ask("GET", f"{prefix}/").status == 200
            assert server.ask("GET", f"{prefix}/page.js").status == 200
            assert server.ask("POST", f"{prefix}/v1/predict", contents[0], content_type="image/png").status == 200
            document = server.ask("GET", f"{prefix}/openapi.json").json
            assert document["servers"] == [{"url": "/coins"}]


def test_it_says_where_it_is(command: list[str], run_folder: Path) -> None:
    with subprocess.Popen(
        [*command, "serve", str(run_folder), "--port", "0", "--host", "0.0.0.0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline().startswith("run: http://0.0.0.0:")
        process.terminate()
        assert process.stderr
        told = process.stderr.read().splitlines()
    assert told[0] == "whoever reaches this machine may ask; --api-keys FILE lets in only whom you know"
    assert [json.loads(line)["event"] for line in told[1:]] == ["draining", "stopped"]
