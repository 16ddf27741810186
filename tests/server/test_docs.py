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


def asked(line: str, server: Server) -> str:
    """What a line of the page prints."""
    command = line.replace("localhost:8000", server.url)
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_lines_for_curl(server: Server, pictures: list[str]) -> None:
    lines = [line for block in blocks("sh") if block.startswith("curl") for line in block.splitlines()]
    links = [line for line in lines if '"url"' in line]
    assert (len(lines), len(links)) == (5, 1)
    assert "this server fetches no links (--allow-urls turns it on)" in asked(links[0], server)
    for line in set(lines) - set(links):
        told = asked(line.replace("coin.jpg", pictures[0]).replace("other.png", pictures[1]), server)
        assert '"results": [{"name": ' in told
        assert '"error": null' in told
        assert ('"explanation": {"label": ' in told) == ("explain" in line)
