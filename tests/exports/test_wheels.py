"""The wheel that an image gets: whole, the same each time, and installable."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

import tellapart
from tellapart.errors import TellapartError
from tellapart.exports.docker import SERVING
from tellapart.exports.wheels import PACKAGE, own_wheel, requirement_ranges


def test_the_wheel_holds_the_package_and_its_records() -> None:
    name, content = own_wheel()
    assert name == f"tellapart-{tellapart.__version__}-py3-none-any.whl"
    archive = ZipFile(BytesIO(content))
    assert archive.testzip() is None
    record = next(one for one in archive.namelist() if one.endswith("RECORD"))
    rows = [line.split(",") for line in archive.read(record).decode().splitlines()]
    assert [row[0] for row in rows] == archive.namelist()
    for file, digest, size in rows[:-1]:
        packed = archive.read(file)
        assert digest == f"sha256={base64.urlsafe_b64encode(hashlib.sha256(packed).digest()).rstrip(b'=').decode()}"
        assert int(size) == len(packed)
    assert archive.read("tellapart/server/page/page.js") == (PACKAGE / "server" / "page" / "page.js").read_bytes()
    assert not [one for one in archive.namelist() if "__pycache__" in one]
    assert b"Apache License" in archive.read(record.replace("RECORD", "licenses/LICENSE"))


def test_the_same_code_gives_the_same_bytes() -> None:
    assert own_wheel() == own_wheel()


def test_the_wheel_runs_and_is_known_to_python(tmp_path: Path) -> None:
    """As pip lays it: unpacked beside other packages, found with its version, metadata and command."""
    ZipFile(BytesIO(own_wheel()[1])).extractall(tmp_path)
    code = (
        "import importlib.metadata as m, tellapart; found = m.distribution('tellapart'); "
        "print(tellapart.__file__, found.version, [one.value for one in found.entry_points])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert done.stdout.split(" ", 2) == [
        str(tmp_path / "tellapart" / "__init__.py"),
        tellapart.__version__,
        "['tellapart.__main__:main']\n",
    ]


def test_a_requirement_that_is_not_known_is_named() -> None:
    with pytest.raises(TellapartError, match="does not say that it needs no-such-thing: install it anew, pip install"):
        requirement_ranges([*SERVING, "no-such-thing"])


def test_requirements_are_ranges_of_what_serving_needs() -> None:
    lines = requirement_ranges(SERVING)
    names = [re.split(r"[><=; ]", line)[0] for line in lines]
    assert sorted(names) == sorted(SERVING)
    for line in lines:
        assert re.fullmatch(r"[\w-]+>=[\w.]+(,<[\d.]+)?( ; .*)?", line), line
        assert "extra" not in line
    assert next(line for line in lines if line.startswith("numpy")).endswith(",<3")  # the next major version
