"""Where a benchmark runs: the two environments, the pictures, a scratch folder."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent
OUR_PACKAGES = ("tellapart", "openvino", "onnx", "numpy", "pillow", "torch")
PEER_PACKAGES = ("fastai", "timm", "torch", "torchvision", "pillow")
KERAS_PACKAGES = ("keras", "tensorflow-cpu", "jax", "numpy")
LITSERVE_PACKAGES = ("litserve", "fastapi", "uvicorn", "torch", "timm", "openvino", "pillow")


@dataclass(frozen=True)
class Setting:
    """What every measurement is given."""

    data: Path  # holds flowers/, coins/ and fashion-mnist/
    scratch: Path
    repeats: int
    peer_repeats: int  # 0: the peers are left out
    limit: int | None  # pictures a data set, for a trial
    peer_python: Path | None
    keras_python: Path | None
    litserve_python: Path | None
    budgets_s: tuple[int, ...]  # of the compact network

    @property
    def tellapart(self) -> str:
        """The command as a user would start it, of the environment that runs the benchmark."""
        command = Path(sys.executable).parent / "tellapart"
        if not command.exists():
            raise SystemExit(f"there is no {command}; run `make install` and start the benchmark with .venv/bin/python")
        return str(command)

    def pictures(self, name: str) -> Path:
        """The folder of a data set; a small copy of it when there is a limit."""
        whole = self.whole(name)
        return whole if self.limit is None else self._part(whole)

    def whole(self, name: str) -> Path:
        """The folder of a data set, whatever the limit."""
        whole = self.data / name
        if not whole.is_dir():
            raise SystemExit(f"there is no {whole}; say where the pictures are: --data DIR or TELLAPART_DATA")
        return whole

    def _part(self, whole: Path) -> Path:
        part = self.scratch / "part" / whole.name
        if not part.exists():
            folders = sorted({path.parent for path in picture_paths(whole)})
            n_each = -(-(self.limit or 0) // len(folders))
            for folder in folders:
                copy_pictures(sorted(folder.iterdir())[:n_each], whole, part)
        return part

    def fresh(self, name: str) -> Path:
        """A path in the scratch folder where nothing is yet."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.scratch)) / name

    def shown(self, command: tuple[str, ...]) -> str:
        """A command as the tables print it: without this machine's folders."""
        words = [self._short(Path(word)) if word.startswith("/") else word for word in command]
        return " ".join(f'"{word}"' if " " in word else word for word in words)

    def _short(self, path: Path) -> str:
        if path in (self.peer_python, self.keras_python, self.litserve_python):
            return "python"
        for folder, name in ((self.scratch / "part", "DATA"), (self.scratch, "TMP"), (self.data, "DATA"), (BENCH, "bench")):
            if path.is_relative_to(folder):
                # A scratch path is TMP/<name>-<random>/<name>; its last part says what it is.
                return f"TMP/{path.name}" if name == "TMP" else str(Path(name) / path.relative_to(folder))
        return path.name


def picture_paths(folder: Path) -> list[Path]:
    """All files below a folder, in order; the benchmark's data sets hold pictures only."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def copy_pictures(paths: list[Path], source: Path, target: Path) -> None:
    """Copy files to the same places below another folder."""
    for path in paths:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def twice(source: Path, target: Path) -> Path:
    """A copy of a data set with every picture in it twice, the second time with another content hash."""
    paths = picture_paths(source)
    copy_pictures(paths, source, target)
    for path in paths:
        copy = target / path.relative_to(source)
        # Decoders stop at the end-of-image marker: one byte after it changes the hash and no pixel.
        copy.with_stem(f"{copy.stem}-again").write_bytes(path.read_bytes() + b"\0")
    return target


def environment(name: str) -> Path:
    """The Python of bench/.NAME-venv, which is made first when it is missing or older than bench/requirements-NAME.txt."""
    folder, requirements = BENCH / f".{name}-venv", BENCH / f"requirements-{name}.txt"
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    wanted = requirements.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {requirements.name} into {folder} (once, minutes)", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True, stdout=sys.stderr)
        stamp.write_text(wanted)
    return python


def machine_facts(
    peer_python: Path | None, keras_python: Path | None = None, litserve_python: Path | None = None
) -> dict[str, str]:
    """What a reader needs to know about the machine, in the order to print it."""
    facts = {
        "processor": _cpu_name(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": platform.platform(),
        "load at the start": f"{os.getloadavg()[0]:.2f}",
        "Tellapart's environment": f"Python {platform.python_version()}, {versions(OUR_PACKAGES)}",
    }
    for name, python, packages in (
        ("the peers'", peer_python, PEER_PACKAGES),
        ("Keras'", keras_python, KERAS_PACKAGES),
        ("LitServe's", litserve_python, LITSERVE_PACKAGES),
    ):
        if python is not None:
            code = f"import setting; print(setting.versions({packages}))"
            facts[f"{name} environment"] = subprocess.check_output([python, "-c", code], cwd=BENCH, text=True).strip()
    return facts


def versions(packages: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {_version(name)}" for name in packages)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
