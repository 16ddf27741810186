"""What docs/serving.md shows works as it is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from .conftest import Server

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_the_client_in_python(server: Server, pictures: list[str]) -> None:
    [code] = blocks("python")
    code = code.replace("http://127.0.0.1:8000", server.url).replace("coin.jpg", pictures[0])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() in ("circle", "square", "triangle"), done.stderr


def test_the_lines_for_curl(server: Server, pictures: list[str]) -> None:
    [lines] = [block for block in blocks("sh") if block.startswith("curl")]
    for line in lines.splitlines():
        command = line.replace("localhost:8000", server.url).replace("coin.jpg", pictures[0]).replace("other.png", pictures[1])
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        assert '"results": [{"name": ' in done.stdout, done.stderr
        assert '"error": null' in done.stdout
