"""Pictures as pixels: pixel tables, IDX files and arrays give the same table, and every fault is named with its row."""

from __future__ import annotations

import gzip
import math
import os
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from tellapart.data import ImageTable, Skipped
from tellapart.errors import CallError, DataError, TellapartError
from tellapart.images import Fit, open_picture
from tellapart.images.arrays import as_pixels
from tellapart.images.limits import MAX_CHANNELS
from tellapart.sources import Columns, list_members, read

DATA = Path(os.environ.get("TELLAPART_DATA", Path(__file__).parents[3] / "shared" / "data"))


def grey(n: int = 6, side_px: int = 8) -> np.ndarray:
    """(n, side, side) uint8, no two alike, soft as pictures are."""
    y, x = np.mgrid[:side_px, :side_px]
    return np.stack([(x * 3 + y * 5 + 11 * number) % 256 for number in range(n)]).astype(np.uint8)


def colourful(n: int = 6, side_px: int = 8) -> np.ndarray:
    """(n, side, side, 3) uint8: soft within each colour, the colours far apart."""
    return np.stack([grey(n, side_px) // 4, grey(n, side_px) // 4 + 90, grey(n, side_px) // 4 + 190], axis=3)


def pixel_lines(values: np.ndarray, labels: list[str] | None = None) -> list[str]:
    rows = [",".join(map(str, row.ravel().tolist())) for row in values]
    return [f"{label},{row}" for label, row in zip(labels, rows, strict=True)] if labels else rows


def header(n_pixels: int, first: str = "label,", start: int = 1) -> str:
    return first + ",".join(f"pixel{number}" for number in range(start, start + n_pixels))


def written(folder: Path, lines: list[str], name: str = "pixels.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">2xBB{values.ndim}I", 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


def message(source: object) -> str:
    with pytest.raises(TellapartError) as caught:
        read(source)
    return str(caught.value)


def pictures_of(table: ImageTable) -> np.ndarray:
    return np.stack([np.asarray(open_picture(path)) for path in table.paths])


LABELS = ["cat", "cat", "dog", "dog", "owl", "owl"]


# Pixel tables --------------------------------------------------------------------------------------------------------


def test_a_grey_pixel_table(tmp_path: Path) -> None:
    path = written(tmp_path, [header(64), *pixel_lines(grey(), LABELS)])
    table = read(path)
    assert table.paths[1] == f"{path}#1"
    assert (list(table.labels), set(table.sources), set(table.splits)) == (LABELS, {"pixels"}, {""})
    assert table.notes == ("column 'label' holds labels, the other 64 pixels", "grey pictures of 8 x 8 pixels")
    np.testing.assert_array_equal(pictures_of(table)[..., 0], grey())
    assert open_picture(table.paths[0]).mode == "RGB"


@pytest.mark.parametrize("order", ["interleaved", "planar"])
def test_colours_are_read_in_the_order_that_is_smoother(order: str, tmp_path: Path) -> None:
    stored = colourful() if order == "interleaved" else np.moveaxis(colourful(), 3, 1)
    table = read(written(tmp_path, [header(192), *pixel_lines(stored, LABELS)]))
    assert table.notes[1].startswith(f"RGB pictures of 8 x 8 pixels, {order} (")
    np.testing.assert_array_equal(pictures_of(table), colourful())


@pytest.mark.parametrize(
    ("first", "note"),
    [
        (None, "no header: the first column holds labels, the other 64 pixels"),
        ("Class," + ",".join(f"{row}x{column}" for row in range(8) for column in range(8)), "column 'Class' holds labels"),
        ("label," + ",".join(f"r{row}c{column}" for row in range(8) for column in range(8)), "column 'label' holds labels"),
        ("label," + ",".join(map(str, range(64))), "column 'label' holds labels, the other 64 pixels"),
    ],
)
def test_headers_of_several_kinds_and_none(first: str | None, note: str, tmp_path: Path) -> None:
    lines = pixel_lines(grey(), ["1", "1", "2", "2", "3", "3"])
    table = read(written(tmp_path, [first, *lines] if first else lines))
    assert table.notes[0].startswith(note)
    assert table.notes[-1] == "labels are the numbers 1 to 3, taken as they are"
    np.testing.assert_array_equal(pictures_of(table)[..., 0], grey())


def test_labels_may_come_last_and_other_columns_are_left_out(tmp_path: Path) -> None:
    rows = [f"{number},{row},{label}" for number, (row, label) in enumerate(zip(pixel_lines(grey()), LABELS, strict=True))]
    table = read(written(tmp_path, [header(64, "id,") + ",label", *rows]))
    assert list(table.labels) == LABELS
    assert table.notes[1] == "column 'id' is left out"
    rows = [f"{row},{label}" for row, label in zip(pixel_lines(grey()), LABELS, strict=True)]
    assert read(written(tmp_path, rows, "bare.csv")).notes[0] == "no header: the last column holds labels, the other 64 pixels"


def test_a_mark_other_delimiters_floats_and_blank_lines(tmp_path: Path) -> None:
    expected = read(written(tmp_path, [header(64), *pixel_lines(grey(), LABELS)])).sha256
    lines = [line.replace(",", ";") for line in [header(64), *pixel_lines(grey(), LABELS)]]
    path = tmp_path / "other.csv"
    path.write_bytes("\ufeff".encode() + "\r\n\r\n".join(lines).encode())
    assert read(path).sha256 == expected
    assert read(written(tmp_path, [header(64), *pixel_lines(grey().astype(float), LABELS)], "floats.csv")).sha256 == expected
    path.write_text("\n".join(lines), encoding="utf-16")
    assert read(path).sha256 == expected
    assert read(path).notes[0] == "its text is utf-16, not UTF-8"


def test_pixels_without_labels_are_for_predicting(tmp_path: Path) -> None:
    path = written(tmp_path, [header(64, "", 0), *pixel_lines(grey())])
    assert message(path) == f"{path} holds pixels but no labels. To predict them: tellapart predict RUN {path}"
    assert list_members(path) == ([f"{path}#{row}" for row in range(6)], [])


def test_a_picture_without_a_label_is_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, [header(64), *pixel_lines(grey(), ["cat", "", "dog", "NaN", "owl", "owl"])])
    table = read(path)
    assert table.labels == ("cat", "dog", "owl", "owl")
    assert table.skipped == (Skipped(f"{path}#1", "no label: row 3"), Skipped(f"{path}#3", "no label: row 5"))


GOOD = ",".join(["7"] * 64)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [header(64), f"a,{GOOD}", f"b,{GOOD},7", "c,7"],
            "2 rows are no pictures: row 3 has 66 cells instead of 65; row 4 has 2",
        ),
        ([header(64), f"a,{GOOD[:-1]}x"], "1 row is no picture: row 2 holds 'x' as a pixel"),
        ([header(64), f"a,{GOOD[:-2]},"], "row 2 holds '' as a pixel"),
        ([header(64), f"a,{GOOD[:-1]}256"], "1 picture holds values that are not from 0 to 255: row 2 has 256"),
        ([header(64), f"a,{GOOD}", f"a,{GOOD[:-1]}-1"], "1 picture holds values that are not from 0 to 255: row 3 has -1"),
        ([header(64), f"a,{GOOD[:-1]}nan"], "row 2 has nan"),
        ([header(63), f"a,{GOOD[:-2]}"], "has 63 columns of pixels: neither a square of grey pixels (28 x 28 = 784) nor one"),
        ([f"1,{GOOD[:-2]},7,7"], "has 65 columns of pixels"),
        ([header(64)], "holds a header and no pictures"),
    ],
)
def test_faults_are_named_with_their_rows(lines: list[str], said: str, tmp_path: Path) -> None:
    assert said in message(written(tmp_path, lines))


# IDX -----------------------------------------------------------------------------------------------------------------


def idx_folder(folder: Path, *, packed: bool = False, names: tuple[str, str] = ("train", "t10k")) -> Path:
    folder.mkdir()
    write = (
        (lambda path, content: path.with_name(path.name + ".gz").write_bytes(gzip.compress(content)))
        if packed
        else Path.write_bytes
    )
    for part, rows in zip(names, (slice(0, 4), slice(4, 6)), strict=True):
        write(folder / f"{part}-images-idx3-ubyte", idx(grey()[rows]))
        write(folder / f"{part}-labels-idx1-ubyte", idx(np.arange(6)[rows] // 2))
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_idx_files(packed: bool, tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "fashion", packed=packed)
    table = read(folder)
    end = ".gz" if packed else ""
    assert table.paths[3:5] == (f"{folder}/train-images-idx3-ubyte{end}#3", f"{folder}/t10k-images-idx3-ubyte{end}#0")
    assert (table.labels, table.splits) == (tuple("001122"), ("train",) * 4 + ("test",) * 2)
    assert table.notes[0] == (
        f"read train-images-idx3-ubyte{end} as IDX: 4 pictures of 8 x 8 pixels, "
        f"labels from train-labels-idx1-ubyte{end}, the train part"
    )
    np.testing.assert_array_equal(pictures_of(table)[..., 0], grey())
    for name in (f"train-images-idx3-ubyte{end}", f"train-labels-idx1-ubyte{end}"):
        assert read(folder / name).sha256 == table.sha256[:4]


def test_a_packed_file_beside_its_unpacked_one_is_no_second_part(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "x")
    for path in list(folder.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    assert len(read(folder)) == 6


IMAGES, LABEL_FILE = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (IMAGES, b"\0\0\x08\x03" + bytes(3), "train-images-idx3-ubyte is cut short within its header"),
        (IMAGES, b"\x89PNG" + bytes(60), "train-images-idx3-ubyte is no IDX file: it begins with 89 50 4e 47; images begin with"),
        (IMAGES, b"\0\0\x07\x03" + bytes(60), "is no IDX file: it begins with 00 00 07 03"),
        (IMAGES, b"", "train-images-idx3-ubyte cannot be read"),
        (IMAGES, idx(grey(4))[:-1], "says that it holds 4 x 8 x 8 values, 256 bytes, and is cut short: only 255 bytes are there"),
        (IMAGES, idx(grey(4)) + b"x", "is too long: more bytes than these are there"),
        (IMAGES, idx(grey(3)), "3 pictures but 4 labels; each picture needs one"),
        (IMAGES, gzip.compress(idx(grey(4)))[:-9], "is cut short or damaged"),
        (IMAGES, gzip.compress(idx(grey(4))[:-1]), "is cut short: only 255 bytes are there"),
        (IMAGES, struct.pack(">2xBB3I", 8, 3, 2**31, 8, 8), "137438953472 bytes, and is cut short: only 0 bytes are there"),
        (IMAGES, gzip.compress(struct.pack(">2xBB3I", 8, 3, 2**31, 8, 8)), "would unpack to 128 GiB; at most 4 are read"),
        (LABEL_FILE, idx(grey(4)), "holds values of the shape (4, 8, 8), not a label a picture"),
    ],
)
def test_damaged_idx_files_are_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "x")
    (folder / name).write_bytes(content)
    assert said in message(folder)


def test_labels_that_are_missing_are_named(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "x")
    (folder / LABEL_FILE).unlink()
    said = f"{folder}/{IMAGES} holds images; their labels are not beside it: there is no {LABEL_FILE} or {LABEL_FILE}.gz"
    assert message(folder) == said


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "fashion-mnist").is_dir(), reason="Fashion-MNIST is not there")
def test_the_real_fashion_mnist() -> None:
    table = read(DATA / "fashion-mnist")
    assert table.account() == "70,000 files = 70,000 kept"
    assert (len(table.in_split("train")), len(table.in_split("test"))) == (60_000, 10_000)
    assert set(table.counts.values()) == {7000}
    assert len(set(table.sha256)) > 69_000
    assert open_picture(table.paths[17]).size == (28, 28)


# Arrays --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (grey(), grey()),
        (grey().tolist(), grey()),
        (grey().astype(np.int64), grey()),
        (grey().astype(np.float32), grey()),
        (grey() / 255, grey()),
        (grey()[..., None], grey()),
        (grey()[:, None], grey()),
        (grey().reshape(6, 64), grey()),
        (grey() > 100, np.where(grey() > 100, 255, 0)),
    ],
)
def test_arrays_of_any_usual_kind(values: object, expected: np.ndarray) -> None:
    table = read((values, LABELS))
    np.testing.assert_array_equal(pictures_of(table)[..., 0], expected)
    assert (list(table.labels), set(table.sources)) == (LABELS, {"arrays"})
    assert any(note.startswith("the pixels are kept in ") for note in table.notes)


@pytest.mark.parametrize("values", [colourful(), np.moveaxis(colourful(), 3, 1), colourful().reshape(6, 192)])
def test_arrays_of_colours(values: np.ndarray) -> None:
    np.testing.assert_array_equal(pictures_of(read((values, LABELS))), colourful())


def test_the_same_arrays_are_the_same_table() -> None:
    assert read((grey(), LABELS)) == read((grey(), np.array(LABELS)[:, None]))


def test_a_training_and_a_test_pair() -> None:
    table = read(((grey()[:4], LABELS[:4]), (grey()[4:], LABELS[4:])))
    assert (list(table.labels), table.splits) == (LABELS, ("train",) * 4 + ("test",) * 2)
    assert table.notes[0] == "the first pair of arrays is to train on, the second to test on"


def test_npz_files(tmp_path: Path) -> None:
    whole = read((grey(), LABELS)).sha256
    np.savez(tmp_path / "plain.npz", x=grey(), y=LABELS)
    assert read(tmp_path / "plain.npz").paths[2] == f"{tmp_path}/plain.npz#x/2"
    assert read(tmp_path / "plain.npz").sha256 == whole
    parts = {"x_train": grey()[:4], "y_train": LABELS[:4], "test_images": grey()[4:], "test_labels": LABELS[4:], "names": LABELS}
    np.savez_compressed(tmp_path / "parts.npz", **parts)
    table = read(tmp_path / "parts.npz")
    assert (table.sha256, table.splits) == (whole, ("train",) * 4 + ("test",) * 2)
    assert table.notes[:2] == (
        "array 'x_train' holds pictures, 'y_train' labels: the train part",
        "array 'test_images' holds pictures, 'test_labels' labels: the test part",
    )


def test_arrays_that_are_no_pictures() -> None:
    assert "the array has the shape (6,); pictures are (N, height, width)" in message((np.arange(6), LABELS))
    assert "the array has 63 values a picture" in message((grey().reshape(6, 64)[:, :63], LABELS))
    assert "6 pictures but 5 labels" in message((grey(), LABELS[:5]))
    assert "1 picture holds values that are not from 0 to 255: picture 2 has 300" in message((changed(2, 300), LABELS))
    assert "picture 5 has -0.5. Give pixels as they were before any normalisation." in message((changed(5, -0.5), LABELS))
    assert "picture 0 has nan" in message((changed(0, math.nan), LABELS))
    assert "labels of the shape (6, 6); give one label a picture" in message((grey(), np.eye(6)))
    assert "the array holds <U5, not numbers" in message((np.full((6, 8, 8), "seven"), LABELS))
    assert "pictures without pixels" in message((np.zeros((6, 0, 8)), LABELS))
    assert "its rows are of unequal lengths" in message(([[1, 2], [3]], ["a", "b"]))


@pytest.mark.parametrize("n_channels", [2, 5, 8])
def test_arrays_of_other_channels(n_channels: int, tmp_path: Path) -> None:
    values = np.stack([grey(side_px=16)] * n_channels, 3) + np.arange(n_channels, dtype=np.uint8)
    np.savez(tmp_path / "bands.npz", x=values, y=LABELS)
    for source in (tmp_path / "bands.npz", (values, LABELS), (values / 255, LABELS)):
        table = read(source)
        assert f"pictures of {n_channels} channels" in table.notes
        fit = Fit(16, "squish", n_channels=n_channels)
        assert (np.stack([fit.read(path) for path in table.paths]) == values).all()
    first = read((np.moveaxis(values, 3, 1), LABELS))
    assert "channels come before rows and columns (N, C, H, W)" in first.notes
    assert first.sha256 == read((values, LABELS)).sha256


@pytest.mark.parametrize(
    ("shape", "pictures"),
    [
        ((2, 5, 5, 200), (2, 5, 5, 200)),  # a spectrum of each pixel of a small patch
        ((2, 3, 3, 200), (2, 3, 3, 200)),
        ((2, 8, 64, 64), (2, 64, 64, 8)),
        ((2, 64, 48, 8), (2, 64, 48, 8)),
        ((2, 1, 9, 7), (2, 9, 7)),
        ((2, 9, 7, 1), (2, 9, 7)),
        ((2, 3, 9, 7), (2, 9, 7, 3)),
        ((2, 8, 8, 8), (2, 8, 8, 8)),
    ],
)
def test_where_channels_are_looked_for(shape: tuple[int, ...], pictures: tuple[int, ...]) -> None:
    assert as_pixels(np.zeros(shape, np.uint8), name="it").values.shape == pictures


@given(arrays_of.array_shapes(min_dims=4, max_dims=4, min_side=0, max_side=6), st.sampled_from([0, 2, 5, 257, 300, 4096]))
@settings(max_examples=60, deadline=None)
def test_channels_from_outside_are_taken_or_named(shape: tuple[int, ...], n_channels: int) -> None:
    values = np.zeros((*shape[:3], n_channels), np.uint8)
    error, n_taken = "", 0
    try:
        n_taken = as_pixels(values, name="the stack").values.size
    except DataError as caught:
        error = str(caught)
    assert error.startswith(f"the stack has the shape {values.shape}") if error else n_taken == values.size
    assert error or n_channels


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.zeros((6, 8, 8, 0), np.uint8), "the array has the shape (6, 8, 8, 0): pictures without pixels"),
        (np.zeros((6, 9, 8, 257), np.uint8), "(6, 9, 8, 257): pictures of 257 channels; at most 256 are learned from. Leave"),
        (np.zeros((6, 8, 8, 5, 2), np.uint8), "the array has the shape (6, 8, 8, 5, 2); pictures are (N, height, width)"),
        (np.full((6, 8, 8, 5), -1), "the array of the shape (6, 8, 8, 5): 6 pictures hold values that are not from 0 to 255"),
        (np.full((6, 8, 8, 5), 300.5), "the array of the shape (6, 8, 8, 5): 6 pictures hold values that are not from 0 to 255"),
        (np.full((6, 8, 8, 5), "x"), "the array holds <U1, not numbers, in the shape (6, 8, 8, 5)"),
        ([np.zeros((8, 8, 5)), np.zeros((8, 9, 5))] * 3, "the array is no array: its rows are of unequal lengths"),
    ],
    ids=["no channel", "too many", "five axes", "below 0", "above 255", "text", "ragged"],
)
def test_arrays_of_impossible_channels(values: object, text: str) -> None:
    assert text in message((values, LABELS))


def changed(number: int, value: float) -> np.ndarray:
    values = grey().astype(float)
    values[number, 3, 3] = value
    return values


def test_npz_and_npy_files_that_cannot_be_used(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", grey())
    assert "x.npy holds pictures without labels" in message(tmp_path / "x.npy")
    assert list_members(tmp_path / "x.npy") == ([f"{tmp_path}/x.npy#{row}" for row in range(6)], [])
    np.savez(tmp_path / "odd.npz", a=grey(), b=np.arange(6))
    assert "holds 'a' (6, 8, 8), 'b' (6,); name them x and y" in message(tmp_path / "odd.npz")
    np.savez(tmp_path / "pickled.npz", x=grey(), y=np.array([{"a": 1}] * 6), allow_pickle=True)
    assert "pickled.npz is no readable .npz file: Object arrays cannot be loaded" in message(tmp_path / "pickled.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "odd.npz").read_bytes()[:300])
    assert "cut.npz is no readable .npz file" in message(tmp_path / "cut.npz")


def test_columns_of_pixels_cannot_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, [header(64), *pixel_lines(grey(), LABELS)])
    with pytest.raises(CallError, match="columns are chosen of tables only"):
        read(path, columns=Columns(label="label"))


# Anything ------------------------------------------------------------------------------------------------------------


@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\0\0\x08\x01", b"\0\0\x08\x03", gzip.compress(idx(grey(1)))[:40], b"\0\0\x0d\x02"]),
)
@settings(max_examples=50, deadline=None)
def test_any_idx_bytes_are_a_table_or_a_clear_error(content: bytes, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        for file in (IMAGES, LABEL_FILE):
            (Path(name) / file).write_bytes(start + content)
        refused_or_whole(Path(name))


PIXEL = st.sampled_from(["0", "255", "256", "-1", "1.5", "x", "", " 7", "nan", "1e999", '"'])


@given(st.lists(st.lists(PIXEL, min_size=15, max_size=18), min_size=1, max_size=4), st.booleans())
@settings(max_examples=50, deadline=None)
def test_any_pixel_rows_are_a_table_or_a_clear_error(rows: list[list[str]], with_header: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        refused_or_whole(written(Path(name), [header(16)] * with_header + [",".join(row) for row in rows]))


@given(st.sampled_from(["x.npz", "x.npy"]), st.binary(max_size=80), st.sampled_from([b"", b"\x93NUMPY\x01\0", b"PK\x03\x04"]))
@settings(max_examples=50, deadline=None)
def test_any_numpy_bytes_are_a_table_or_a_clear_error(name: str, content: bytes, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(start + content)
        refused_or_whole(path)


KINDS = st.sampled_from([np.uint8, np.int16, np.float32, np.bool_, np.complex64])


@given(KINDS.flatmap(lambda kind: arrays_of.arrays(kind, arrays_of.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=4))))
@settings(max_examples=80, deadline=None)
def test_any_array_is_pictures_or_a_clear_error(values: np.ndarray) -> None:
    try:
        pixels = as_pixels(values, name="it").values
    except DataError:
        return
    assert pixels.dtype == np.uint8
    assert len(pixels) == len(values)
    assert pixels.ndim == 3 or 2 <= pixels.shape[3] <= MAX_CHANNELS
    assert np.prod(pixels.shape[1:])


def refused_or_whole(path: Path) -> None:
    try:
        table = read(path)
    except (CallError, DataError):
        return
    assert len(pictures_of(table)) == len(table) > 0


def test_a_pixel_table_without_pyarrow_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, pixel_lines(grey(), ["a", "b"] * 3))
    quick = read(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    plain = read(path)
    assert plain == quick
    assert [open_picture(one).tobytes() for one in plain.paths] == [open_picture(one).tobytes() for one in quick.paths]
