"""The folder that builds an image: each file by its own rules, and what the image would start, started."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from tellapart.errors import BundleError, CallError
from tellapart.exports import export_docker
from tellapart.exports.docker import MEMORY_MB, SERVING, STOP_S, slug_of
from tellapart.inference import Classifier

KEY = "0123456789abcdef" * 3
INSTRUCTIONS = ("FROM", "ENV", "WORKDIR", "ARG", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT")


@pytest.fixture(scope="module")
def folder(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docker") / "image"
    export_docker(run_folder, out, name="Some Shapes")
    return out


@pytest.fixture(scope="module")
def dockerfile(folder: Path) -> list[tuple[str, str]]:
    """The instructions of the Dockerfile in order, lines that go on joined."""
    text = re.sub(r"\\\n\s*", "", (folder / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def yaml_of(path: Path) -> list[Any]:
    return list(pytest.importorskip("yaml", reason="PyYAML is not installed").safe_load_all(path.read_text()))


def test_the_folder_holds_all_that_is_told(run_folder: Path, tmp_path: Path) -> None:
    facts = export_docker(run_folder, tmp_path / "image")
    assert (facts["out"], facts["name"]) == (str(tmp_path / "image"), "run")
    assert facts["files"] == sorted(
        path.relative_to(tmp_path / "image").as_posix() for path in (tmp_path / "image").rglob("*") if path.is_file()
    )
    assert Classifier.load(tmp_path / "image" / "model").classes == ("circle", "square", "triangle")


def test_nothing_written_names_a_registry_or_is_left_unfilled(folder: Path) -> None:
    for path in folder.iterdir():
        if path.suffix not in (".whl", "") or path.name in ("Dockerfile", ".dockerignore"):
            text = path.read_text()
            assert "://" not in text.replace("http://127.0.0.1", ""), path
            assert "{{" not in text, path
            assert "{%" not in text, path


def test_the_dockerfile_copies_what_is_there_and_not_ignored(folder: Path, dockerfile: list[tuple[str, str]]) -> None:
    assert [word for word, _ in dockerfile if word not in INSTRUCTIONS] == []
    kept = [line[1:] for line in (folder / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for rest in (rest for word, rest in dockerfile if word == "COPY"):
        for source in rest.split()[1:-1]:
            assert (folder / source).exists()
            assert any(fnmatch.fnmatch(source, pattern) for pattern in kept), source
    assert (folder / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_image_is_slim_and_runs_as_nobody(folder: Path, dockerfile: list[tuple[str, str]]) -> None:
    words = dict(dockerfile)  # the last of each
    assert words["FROM"] == f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    assert words["USER"] == "10001:10001"
    assert json.loads(words["ENTRYPOINT"]) == ["sh", "start.sh"]
    assert "torch" not in (folder / "requirements.txt").read_text()
    assert [word for word, _ in dockerfile].index("USER") < [word for word, _ in dockerfile].index("ENTRYPOINT")


def test_serving_imports_nothing_that_the_image_lacks(run_folder: Path) -> None:
    """What Tellapart needs beside `SERVING` is not in the image, and must not be asked for."""
    stated = {re.split(r"[^\w.-]", one)[0].lower().replace("_", "-") for one in distribution("tellapart").requires or ()}
    code = (
        "import json, sys; from pathlib import Path; from importlib.metadata import packages_distributions as known\n"
        "from tellapart.server import app, running; from tellapart.server.metrics import Metrics\n"
        "from tellapart.server.models import Models\n"
        "import tellapart.cli.serving\n"
        f"Models({{'shapes': Path({str(run_folder)!r})}}, Metrics())\n"
        "tops, found = {name.partition('.')[0] for name in sys.modules}, known()\n"
        "print(json.dumps(sorted({one.lower().replace('_', '-') for top in tops for one in found.get(top, ())})))"
    )
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) & stated <= {*SERVING, "pillow-heif"}


def test_the_platforms_files(folder: Path) -> None:
    [compose] = yaml_of(folder / "compose.yaml")
    [service] = compose["services"].values()
    assert list(compose["services"]) == ["some-shapes"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert service["mem_limit"] == f"{MEMORY_MB}m"
    [render] = yaml_of(folder / "render.yaml")
    [web] = render["services"]
    assert (web["type"], web["runtime"], web["healthCheckPath"]) == ("web", "docker", "/ready")
    assert web["envVars"] == [{"key": "TELLAPART_API_KEYS", "sync": False}]
    fly = tomllib.loads((folder / "fly.toml").read_text())
    assert fly["app"] == "some-shapes"
    assert str(fly["http_service"]["internal_port"]) == fly["env"]["PORT"]
    assert fly["http_service"]["checks"][0]["path"] == "/ready"
    assert fly["kill_timeout"] == STOP_S


def test_the_kubernetes_manifest(folder: Path) -> None:
    deployment, service = yaml_of(folder / "kubernetes.yaml")
    assert [(one["apiVersion"], one["kind"]) for one in (deployment, service)] == [("apps/v1", "Deployment"), ("v1", "Service")]
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    [container] = template["spec"]["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert probes == {
        "startup": {"path": "/ready", "port": "http"},
        "readiness": {"path": "/ready", "port": "http"},
        "liveness": {"path": "/health", "port": "http"},
    }
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"] == {"cpu": "2", "memory": f"{MEMORY_MB}Mi"}
    assert {one["name"] for one in container["env"]} == {"PORT", "TELLAPART_API_KEYS"}


@pytest.mark.parametrize(
    ("tool", "files"),
    [
        (("hadolint", "--failure-threshold", "warning"), ("Dockerfile",)),
        (("kubernetes-validate", "--strict"), ("kubernetes.yaml",)),
        (("check-jsonschema", "--builtin-schema", "vendor.compose-spec"), ("compose.yaml",)),
    ],
    ids=lambda value: value[0],
)
def test_the_files_by_their_own_tools(folder: Path, tool: tuple[str, ...], files: tuple[str, ...]) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    done = subprocess.run([*tool, *(folder / file for file in files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def started(folder: Path) -> Iterator[str]:
    """The address of what the image's entry point starts, in the folder, with a key."""
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if os.name != "posix" or shutil.which("tellapart", path=path) is None:
        pytest.skip("the command is not installed, or there is no shell")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    keys = f"# ours\nphone {hashlib.sha256(KEY.encode()).hexdigest()}"
    environment = {**os.environ, "PATH": path, "PORT": str(port), "TELLAPART_API_KEYS": keys}
    words = json.loads(dict(line.partition(" ")[::2] for line in (folder / "Dockerfile").read_text().splitlines())["ENTRYPOINT"])
    with subprocess.Popen([*words, "--root-path", "/shapes"], cwd=folder, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == f"some-shapes: http://0.0.0.0:{port}/shapes\n".encode()
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert process.wait(60) == 0


def test_what_the_image_starts_answers_who_has_a_key(started: str, pictures: list[str]) -> None:
    content = Path(pictures[0]).read_bytes()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(urllib.request.Request(f"{started}/v1/predict", content, {"Content-Type": "image/png"}))
    asked = urllib.request.Request(f"{started}/v1/predict", content, {"Content-Type": "image/png", "X-API-Key": KEY})
    with urllib.request.urlopen(asked) as answer:
        told = json.load(answer)
    assert told["model"] == "some-shapes"
    assert told["results"][0]["label"] in ("circle", "square", "triangle")


def test_the_health_check_of_the_image(started: str, dockerfile: list[tuple[str, str]]) -> None:
    command = json.loads(dict(dockerfile)["HEALTHCHECK"].partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    ports = {"healthy": started.rpartition(":")[2], "away": "9"}
    found = {
        name: subprocess.run(
            [sys.executable, *command[1:]], check=False, stderr=subprocess.DEVNULL, env={**os.environ, "PORT": port}
        )
        for name, port in ports.items()
    }
    assert found["healthy"].returncode == 0
    assert found["away"].returncode == 1


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("coins", "coins"),
        ("My Coins_2!", "my-coins-2"),
        ("2024-run", "model-2024-run"),
        ("Münzen", "m-nzen"),
        ("…", ""),
        ("a" * 80, "a" * 50),
        ("1" * 80, "model-" + "1" * 44),
    ],
)
def test_names_are_made_fit_for_hosts(name: str, slug: str) -> None:
    assert slug_of(name) == slug


def test_wrong_calls(run_folder: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"'…' is no name for a service: it needs a letter or a digit\. Choose one: --name coins"):
        export_docker(run_folder, tmp_path / "image", name="…")
    with pytest.raises(CallError, match=r"image is not empty; nothing is overwritten\. Choose another --docker\."):
        export_docker(run_folder, folder)
    with pytest.raises(CallError, match="no such run or bundle"):
        export_docker(tmp_path / "absent", tmp_path / "image")
    damaged = shutil.copytree(run_folder / "bundle", tmp_path / "bundle")
    (damaged / "model.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="its SHA-256 is not the manifest's"):
        export_docker(damaged, tmp_path / "image")
    assert not (tmp_path / "image").exists()
