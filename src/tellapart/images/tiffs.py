"""The directories of a TIFF, counted but not read: Pillow takes microseconds for a tag, and a small file can have millions."""

from __future__ import annotations

from typing import Literal

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def counted_tags(content: bytes, *, n_pages: int) -> tuple[int, int]:
    """How many directories a TIFF has, or the EXIF of another picture, and their tags; not more than `n_pages` are looked at.

    A chain that leads back to itself ends there; of a damaged file, what is there until the damage.
    """
    order: Literal["little", "big"] = "little" if content.startswith(b"II") else "big"
    width, count_bytes, tag_bytes = (8, 8, 20) if content[2:4] in (b"+\0", b"\0+") else (4, 2, 12)

    def number(start: int, n_bytes: int) -> int:
        return int.from_bytes(content[start : start + n_bytes], order)

    place, seen, n_tags = number(width, width), set[int](), 0  # where the first directory is said: at 4, in a large TIFF at 8
    while 0 < place < len(content) and place not in seen and len(seen) < n_pages:
        seen.add(place)
        n_own = number(place, count_bytes)
        n_tags += n_own
        place = number(place + count_bytes + tag_bytes * n_own, width)
    return len(seen), n_tags
