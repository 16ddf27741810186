from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tellapart.checks.hashes import perceptual_hashes
from tellapart.images.decoding import open_described
from tellapart.images.glances import glance
from tellapart.images.glimpses import GLIMPSE, glimpses


def drawn(seed: int) -> Image.Image:
    blots = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(blots).resize((320, 200), Image.Resampling.BICUBIC)


def test_the_hashes_are_nearly_those_of_the_thumbnails(tmp_path: Path) -> None:
    paths = []
    for seed in range(30):
        paths.append(str(tmp_path / f"{seed}.{('jpg', 'png', 'webp')[seed % 3]}"))
        drawn(seed).save(paths[-1])
    rows, reasons = glimpses(paths)
    assert rows.dtype == GLIMPSE
    assert reasons == [""] * 30
    thumbnails = np.stack([glance(open_described(path, min_side_px=256))["thumbnail"] for path in paths])
    apart = np.bitwise_count(rows["hashes"] ^ perceptual_hashes(thumbnails))
    assert apart.max() <= 3
    assert apart.mean() < 0.5
    assert (rows["width"] == 320).all()
    assert (rows["height"] == 200).all()
    assert rows["format"][:3].tolist() == [b"JPEG", b"PNG", b"WEBP"]
    assert rows["n_bytes"][0] == Path(paths[0]).stat().st_size


def test_what_cannot_be_read_has_a_reason_and_an_empty_row(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    drawn(0).save(tmp_path / "0.jpg")
    rows, reasons = glimpses([str(tmp_path / name) for name in ("empty.jpg", "0.jpg", "none.jpg")])
    assert reasons == ["the file is empty (0 bytes)", "", "cannot be read: No such file or directory"]
    assert rows["width"].tolist() == [0, 320, 0]
    assert not rows["hashes"][[0, 2]].any()


def test_no_pictures() -> None:
    rows, reasons = glimpses([])
    assert (len(rows), reasons) == (0, [])
