"""A wheel of the Tellapart that is running, so that an image holds the code that its bundle was tried with."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from tellapart.errors import TellapartError

PACKAGE = Path(__file__).parents[1]
WHEEL = "Wheel-Version: 1.0\nGenerator: tellapart\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?\s*([^;]*?)\s*(?:;(.*))?")  # name, versions, marker
EXTRA = re.compile(r"""(?:\s+and\s+)?extra\s*==\s*['"][^'"]+['"]""")
RELEASE = re.compile(r"(\d+)(?:\.(\d+))?")


def own_wheel() -> tuple[str, bytes]:
    """The file name and the content of a wheel of the running package; the same code gives the same bytes.

    Raises TellapartError where Tellapart is not installed, but runs from a folder alone.
    """
    installed = _installed()
    stem = f"tellapart-{installed.version}"
    files = {
        path.relative_to(PACKAGE.parent).as_posix(): path.read_bytes()
        for path in sorted(PACKAGE.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    told = {
        "METADATA": installed.read_text("METADATA"),
        "entry_points.txt": installed.read_text("entry_points.txt"),
        "licenses/LICENSE": installed.read_text("licenses/LICENSE"),
        "WHEEL": WHEEL,
    }
    files |= {f"{stem}.dist-info/{name}": text.encode() for name, text in told.items() if text}
    record = f"{stem}.dist-info/RECORD"
    rows = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[record] = "\n".join([*rows, f"{record},,", ""]).encode()
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = ZipInfo(name)  # dated 1980: a rebuilt image finds the same layer
            member.external_attr = 0o644 << 16
            member.compress_type = ZIP_DEFLATED
            archive.writestr(member, content)
    return f"{stem}-py3-none-any.whl", packed.getvalue()


def requirement_ranges(names: Sequence[str]) -> list[str]:
    """A line for each of these requirements: from the version that is installed here to the next that may break it.

    One that is not installed here keeps the bounds that Tellapart states itself. Markers are kept, but for the extra.
    Raises TellapartError for one that the installed Tellapart does not state.
    """
    lines, found = [], set[str]()
    for stated in _installed().requires or ():
        match = REQUIREMENT.fullmatch(stated)
        if match is None or (name := match[1].lower().replace("_", "-")) not in names:
            continue
        found.add(name)
        marker = EXTRA.sub("", match[3] or "").strip()
        line = f"{match[1]}{_range(match[1]) or match[2]}{f' ; {marker}' if marker else ''}"
        if line not in lines:
            lines.append(line)
    if missing := sorted(set(names) - found):
        raise TellapartError(
            f"the installed Tellapart does not say that it needs {', '.join(missing)}: install it anew, pip install ."
        )
    return lines


def _installed() -> Distribution:
    try:
        return distribution("tellapart")
    except PackageNotFoundError as error:
        raise TellapartError(
            "Tellapart is not installed here, so that no image can be told what it needs: pip install ."
        ) from error


def _range(name: str) -> str:
    try:
        found = version(name).partition("+")[0]
    except PackageNotFoundError:
        return ""
    match = RELEASE.match(found)
    if match is None:
        return ""
    major, minor = int(match[1]), int(match[2] or 0)
    return f">={found},<{major + 1 if major else f'0.{minor + 1}'}"  # before 1.0 a minor version may break what it likes


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
