"""Well-known public sets, each file pinned by its hash: what is not exactly that file never gets into the data folder."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tellapart.downloads.downloading import run_to_end
from tellapart.downloads.fetching import Limits, Redirect, fetch, open_session
from tellapart.downloads.guards import Guard
from tellapart.downloads.storing import PARTS, work_folder
from tellapart.errors import CallError, DataError, LinkError, unknown_name
from tellapart.files import sha256_of, write_error
from tellapart.progress import Progress, silent

CHUNK_BYTES = 2**20
TIMEOUT_S = 3600.0  # for one file of a set: 229 MB at half a megabit a second


@dataclass(frozen=True)
class PinnedFile:
    """A file that is known by its hash."""

    name: str
    n_bytes: int
    sha256: str
    # Of what it unpacks to, for mirrors that compressed it anew; "" where only the very file will do.
    unpacked_sha256: str = ""
    unpacked_bytes: int = 0
    makes: tuple[str, ...] = ()  # what it becomes in the data folder, where that is not the file itself


@dataclass(frozen=True)
class PublicSet:
    """Files, where they are published, and how they become a data folder."""

    name: str
    about: str
    licence: str
    addresses: tuple[str, ...]  # folders of links; a file's name comes after; tried in order
    files: tuple[PinnedFile, ...]
    place: Callable[[Path, Path], None]  # (a checked file, the data folder)


def place_file(file: Path, out: Path) -> None:
    """The file itself is what readers read."""
    file.replace(out / file.name)


def place_folders(file: Path, out: Path) -> None:
    """A tar archive of one folder with a folder per class; what it would put elsewhere is refused."""
    unpacked = file.with_name("unpacked")
    try:
        with tarfile.open(file) as archive:
            archive.extractall(unpacked, filter="data")
    except tarfile.TarError as error:
        raise DataError(f"{file.name} cannot be unpacked: {error}") from error
    top = list(unpacked.iterdir())
    for entry in top[0].iterdir() if len(top) == 1 and top[0].is_dir() else top:
        entry.replace(out / entry.name)


# The SHA-256 of the files are those that TensorFlow Datasets publishes (url_checksums/fashion_mnist.txt and tf_flowers.txt).
# Fashion-MNIST's were checked against the MD5 of its README as well: with the time stamps and names put back into the headers
# of copies that had lost them, all four files had both hashes. The hashes of what they unpack to are of the same copies.
# The archive of the flowers was not at hand: its hash is the published one alone.
PUBLIC_SETS = (
    PublicSet(
        "fashion-mnist",
        "70,000 pictures of clothes, 28 x 28 grey, 10 classes",
        "MIT",
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        (
            PinnedFile(
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                47_040_016,
            ),
            PinnedFile(
                "train-labels-idx1-ubyte.gz",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                60_008,
            ),
            PinnedFile(
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                7_840_016,
            ),
            PinnedFile(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                10_008,
            ),
        ),
        place_file,
    ),
    PublicSet(
        "flowers",
        "3,670 photographs of flowers, 5 classes (TensorFlow's flower_photos)",
        "CC BY 2.0, by photograph: see LICENSE.txt",
        (
            "https://storage.googleapis.com/download.tensorflow.org/example_images/",
            "http://download.tensorflow.org/example_images/",
        ),
        (PinnedFile("flower_photos.tgz", 228_813_984, "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"),),
        place_folders,
    ),
)


def public_set(name: str) -> PublicSet:
    """The set of this name; raises CallError for one that is not known."""
    for known in PUBLIC_SETS:
        if known.name == name:
            return known
    raise unknown_name("public set", name, [known.name for known in PUBLIC_SETS])


@dataclass(frozen=True)
class Fetched:
    """What came of `collect_public`."""

    folder: Path
    wanted: PublicSet
    sources: tuple[tuple[str, str], ...]  # (file, where it came from)

    def text(self) -> str:
        """What lies there now, and from where."""
        files = ", ".join(name for name, _ in self.sources)
        places = ", ".join(dict.fromkeys(place for _, place in self.sources))
        return f"{self.wanted.about}, in {self.folder}: {files} from {places}, each as pinned; licence: {self.wanted.licence}"

    def to_json(self) -> dict[str, Any]:
        """What `tellapart collect --json` prints."""
        files = dict(self.sources)
        return {"out": str(self.folder), "set": self.wanted.name, "licence": self.wanted.licence, "files": files}


def collect_public(
    wanted: PublicSet,
    out: Path,
    *,
    source: str | None = None,
    limits: Limits | None = None,
    guard: Guard | None = None,
    progress: Progress = silent,
) -> Fetched:
    """Put a public set into `out`: from its official addresses, or from `source`, a folder or the link of a mirror's folder.

    A file gets there only if its hash is the pinned one; what has been placed by an earlier call is not fetched again.
    Raises CallError where a folder has it not or its class folders are there already, DataError where no address gives the right
    file, StorageError where the disk is full.
    """
    bounds = replace(limits or Limits(), timeout_s=TIMEOUT_S)
    placed = []
    with work_folder(out) as work:
        for done, file in enumerate(wanted.files):
            progress(f"collecting: {file.name}", done, len(wanted.files))
            if there := [name for name in file.makes if (out / name).exists()]:
                raise CallError(f"{out / there[0]} is there already; nothing is overwritten. Choose another --out.")
            if (out / file.name).is_file() and is_pinned(out / file.name, file):
                placed.append((file.name, "an earlier call"))
                continue
            part = work / PARTS / file.name
            place = _get(wanted, file, part, source, bounds, guard or Guard())
            wanted.place(part, out)
            placed.append((file.name, place))
        progress("collecting", len(wanted.files), len(wanted.files))
    return Fetched(out, wanted, tuple(placed))


def is_pinned(path: Path, file: PinnedFile) -> bool:
    """Whether a file is the pinned one, or a gzip file of the same content."""
    if sha256_of(path) == file.sha256:
        return True
    if not file.unpacked_sha256:
        return False
    try:
        with gzip.open(path) as unpacking:
            return _sha256_up_to(unpacking, file.unpacked_bytes) == file.unpacked_sha256
    except (OSError, EOFError, zlib.error):  # not gzip, or cut
        return False


def _sha256_up_to(file: gzip.GzipFile, n_bytes: int) -> str:
    """Of the whole content; "" where there is more than `n_bytes` of it, which a bomb would have."""
    digest, n_read = hashlib.sha256(), 0
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        n_read += len(chunk)
        if n_read > n_bytes:
            return ""
    return digest.hexdigest()


def _get(wanted: PublicSet, file: PinnedFile, part: Path, source: str | None, limits: Limits, guard: Guard) -> str:
    """Put the checked file at `part`; says where it came from."""
    if source is not None and "://" not in source:
        return _copy(file, part, Path(source))
    problems = []
    for address in (source,) if source else wanted.addresses:
        link = f"{address.rstrip('/')}/{file.name}"  # of at most twice its size: a mirror may compress it less
        try:
            run_to_end(_download(link, part, replace(limits, max_bytes=2 * file.n_bytes), guard.naming([link])))
        except LinkError as error:
            problems.append(f"{link}: {error}")
            continue
        if is_pinned(part, file):
            return address
        problems.append(f"{link}: another file (SHA-256 {sha256_of(part)[:16]}...; {file.sha256[:16]}... is wanted)")
    raise DataError(f"{file.name} cannot be had. {'; '.join(problems)}. From a copy of yours: --from FOLDER")


def _copy(file: PinnedFile, part: Path, folder: Path) -> str:
    found = folder / file.name
    if not found.is_file():
        raise CallError(f"{folder} does not hold {file.name}; --from takes the folder in which the published files lie")
    if not is_pinned(found, file):
        raise DataError(f"{found} is not the published file (SHA-256 {file.sha256[:16]}... is wanted); it was not taken")
    try:
        shutil.copyfile(found, part)
    except OSError as error:
        raise write_error(part, error, then="and run the same command again") from error
    return str(folder)


async def _download(link: str, part: Path, limits: Limits, guard: Guard) -> None:
    """Follow redirects to the file, and write it to `part`."""
    async with open_session(guard, limits) as session:
        for _ in range(limits.redirects + 1):
            reply = await fetch(session, guard.check(link), limits=limits, part=part)
            if isinstance(reply, Redirect):
                link = reply.link
                continue
            if isinstance(reply.content, bytes):
                await asyncio.to_thread(part.write_bytes, reply.content)
            return
    raise LinkError("too_many_redirects", f"redirected more than {limits.redirects} times")
