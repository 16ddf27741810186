"""Outputs that end early at any place, and go on to what they would have become."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tellapart.bulk.output import PIECE_ROWS, Output
from tellapart.bulk.rows import format_of
from tellapart.data import Skipped
from tellapart.errors import CallError, StorageError
from tellapart.inference import Prediction
from tellapart.inference.runtimes import BATCH

Predict = Callable[[Iterable[str]], Iterator[Prediction]]
PATHS = [f"pictures/{number:05d}{'-x' * (number % 5)}.jpg" for number in range(3 * PIECE_ROWS + 7)]
MADE_BY = {"model": "1", "runtime": "r", "view": "as_is", "shard": "none", "format": "csv"}
PLACES = ["disk", "store"]


@pytest.fixture(params=PLACES)
def out(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the output goes: a file, or an object of a store that this process keeps in memory."""
    if request.param == "disk":
        return str(tmp_path / "new" / "preds.csv")
    pytest.importorskip("fsspec")
    return f"memory://{tmp_path}/preds.csv"


def content(place: str) -> bytes:
    if not place.startswith("memory:"):
        return Path(place).read_bytes()
    import fsspec

    return bytes(fsspec.filesystem("memory").cat_file(place.removeprefix("memory://")))


def beside(place: str) -> list[str]:
    """What lies in the folder of the output, its pieces' folder gone through."""
    folder = place.rpartition("/")[0]
    if not place.startswith("memory:"):
        return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())
    import fsspec

    root = folder.removeprefix("memory://")
    return sorted(str(path).removeprefix(root + "/") for path in fsspec.filesystem("memory").find(root))


def begun(out: str, *, resume: bool = False, **made_by: str) -> Output:
    output = Output(out, format_of(out, ["owl", "=cat"], several=False), {**MADE_BY, **made_by}, resume=resume)
    output.begin()
    return output


def finished(out: str, paths: Iterable[str], predict: Predict, *, resume: bool = False, failures: str | None = None) -> Output:
    output = begun(out, resume=resume)
    for _ in output.write(paths, predict):
        pass
    output.finish(failures=failures, lost=[Skipped("folder", "cannot be listed: Permission denied")])
    return output


def ending_after(n: int, predict: Predict) -> Predict:
    def predict_some(paths: Iterable[str]) -> Iterator[Prediction]:
        for number, one in enumerate(predict(paths)):
            if number == n:
                raise StorageError("the disk is full.")
            yield one

    return predict_some


def test_a_piece_keeps_each_picture_in_its_place_in_a_batch() -> None:
    assert PIECE_ROWS % BATCH == 0


def test_every_path_is_a_row_in_order_and_the_counts_reconcile(out: str, foretell: Predict) -> None:
    output = finished(out, PATHS, foretell, failures=out.replace("preds", "failures"))
    rows = list(csv.DictReader(content(out).decode().splitlines()))
    assert [row["path"] for row in rows] == PATHS
    failed = [(row["path"], row["error"]) for row in rows if row["error"]]
    assert (output.n_pictures, output.n_failed, output.n_kept) == (len(PATHS), len(failed), 0)
    listed = list(csv.reader(content(out.replace("preds", "failures")).decode().splitlines()))
    assert listed[0] == ["path", "error"]
    assert [tuple(row) for row in listed[1:-1]] == failed
    assert listed[-1] == ["folder", "cannot be listed: Permission denied"]
    assert beside(out) == ["failures.csv", "preds.csv"]


@pytest.mark.parametrize("n", [PIECE_ROWS, PIECE_ROWS + 1, 2 * PIECE_ROWS - 1, len(PATHS) - 1])
def test_what_was_kept_is_not_predicted_again_and_the_output_is_the_same(out: str, foretell: Predict, n: int) -> None:
    whole = out.replace("preds", "whole")
    finished(whole, PATHS, foretell)
    with pytest.raises(StorageError, match=r"the disk is full. What is done is kept: go on with --resume."):
        list(begun(out).write(PATHS, ending_after(n, foretell)))
    output = finished(out, PATHS, foretell, resume=True)
    assert output.n_kept == n // PIECE_ROWS * PIECE_ROWS
    assert content(out) == content(whole)
    assert output.n_failed == sum(one.error is not None for one in foretell(PATHS))


def test_what_ends_before_anything_is_kept_leaves_nothing_behind(out: str, foretell: Predict) -> None:
    with pytest.raises(StorageError, match=r"^the disk is full.$"):
        list(begun(out).write(PATHS, ending_after(PIECE_ROWS - 1, foretell)))
    assert beside(out) == []


def test_a_reader_that_stops_leaves_what_is_kept(out: str, foretell: Predict) -> None:
    reader = begun(out).write(PATHS, foretell)
    for _ in range(PIECE_ROWS + 1):
        next(reader)
    reader.close()
    assert finished(out, PATHS, foretell, resume=True).n_kept == PIECE_ROWS


def test_a_finished_output_is_known_by_the_next_call(out: str, foretell: Predict) -> None:
    finished(out, PATHS, foretell, resume=True)
    before = content(out)
    assert {name.rpartition("/")[2] for name in beside(out)} == {"begun.json", "finished.json", "preds.csv"}
    again = finished(out, PATHS, ending_after(0, foretell), resume=True)
    assert (again.n_pictures, again.n_kept) == (len(PATHS), len(PATHS))
    assert again.n_failed == sum(one.error is not None for one in foretell(PATHS))
    assert content(out) == before
    with pytest.raises(CallError, match=r"is finished; what failed are its rows with an error"):
        finished(out, PATHS, foretell, resume=True, failures=out + ".failures")
    with pytest.raises(CallError, match=r"was begun with other files; 5 are found now"):
        finished(out, PATHS[:5], foretell, resume=True)
    finished(out, PATHS[:5], foretell)  # without --resume it is replaced
    assert len(content(out).splitlines()) == 6


def test_other_files_are_refused(out: str, foretell: Predict) -> None:
    with pytest.raises(StorageError):
        list(begun(out).write(PATHS, ending_after(2 * PIECE_ROWS, foretell)))
    others = [*PATHS[:600], "new.jpg", *PATHS[600:]]
    with pytest.raises(CallError, match=r"was begun with other files; the difference is among files 513 to 1,024"):
        finished(out, others, foretell, resume=True)
    with pytest.raises(CallError, match=r"was begun with other files; 512 are found now"):
        finished(out, PATHS[:PIECE_ROWS], foretell, resume=True)
    assert finished(out, PATHS, foretell, resume=True).n_kept == 2 * PIECE_ROWS


@pytest.mark.parametrize("what", ["model", "runtime", "view", "shard", "format"])
def test_what_was_made_otherwise_is_refused(out: str, foretell: Predict, what: str) -> None:
    with pytest.raises(StorageError):
        list(begun(out).write(PATHS, ending_after(PIECE_ROWS, foretell)))
    with pytest.raises(CallError, match=rf"was begun with another {what}: {MADE_BY[what]}, now other"):
        begun(out, resume=True, **{what: "other"})


def test_work_is_not_thrown_away_by_a_call_without_resume(out: str, foretell: Predict) -> None:
    with pytest.raises(StorageError):
        list(begun(out).write(PATHS, ending_after(PIECE_ROWS, foretell)))
    with pytest.raises(CallError, match=r"was begun by an earlier call, and about 512 pictures are predicted. Go on"):
        begun(out)


def test_an_output_of_unknown_origin_is_not_gone_on_with(out: str, foretell: Predict) -> None:
    finished(out, PATHS[:3], foretell)
    with pytest.raises(CallError, match=r"is there, and nothing beside it says what made it. Leave --resume out"):
        begun(out, resume=True)


def test_no_files_are_a_header(out: str, foretell: Predict) -> None:
    assert finished(out, [], foretell, resume=True).n_pictures == 0
    assert content(out) == b"path,label,probability,unknown,error,p_owl,p_=cat\n"
    assert finished(out, [], foretell, resume=True).n_pictures == 0


def test_what_was_begun_without_a_piece_or_has_gone_is_begun_anew(out: str, foretell: Predict) -> None:
    begun(out, model="other")
    finished(out, PATHS, foretell, resume=True)
    moved = out.replace("preds", "moved")
    if out.startswith("memory:"):
        import fsspec

        fsspec.filesystem("memory").mv(out.removeprefix("memory://"), moved.removeprefix("memory://"))
    else:
        os.rename(out, moved)
    output = begun(out, resume=True, model="newer")
    assert len(list(output.write(PATHS, foretell))) == len(PATHS)
    output.finish()
    assert content(out) == content(moved)


# On a disk -----------------------------------------------------------------------------------------------------------


def kept_pieces(out: Path) -> list[Path]:
    return sorted(path for path in (out.parent / f".{out.name}.pieces").iterdir() if path.suffix != ".json")


def test_a_damaged_piece_is_said_removed_and_predicted_again(tmp_path: Path, foretell: Predict) -> None:
    out = tmp_path / "preds.csv"
    with pytest.raises(StorageError):
        list(begun(str(out)).write(PATHS, ending_after(2 * PIECE_ROWS, foretell)))
    os.truncate(kept_pieces(out)[1], 1000)
    with pytest.raises(StorageError, match=r"a piece of .*preds.csv was damaged where it was kept, and is removed."):
        finished(str(out), PATHS, foretell, resume=True)
    output = finished(str(out), PATHS, foretell, resume=True)
    assert output.n_kept == len(PATHS) - PIECE_ROWS
    assert [row["path"] for row in csv.DictReader(out.read_text().splitlines())] == PATHS


def test_pieces_that_a_kill_left_beside_a_whole_output_go(tmp_path: Path, foretell: Predict) -> None:
    out = tmp_path / "preds.csv"
    finished(str(out), PATHS, foretell, resume=True)
    folder = tmp_path / ".preds.csv.pieces"
    (folder / ".00000001.17.part").write_text("half")
    finished(str(out), PATHS, foretell, resume=True)
    assert sorted(path.name for path in folder.iterdir()) == ["begun.json", "finished.json"]


def test_what_says_how_it_was_made_may_be_damaged(tmp_path: Path, foretell: Predict) -> None:
    finished(str(tmp_path / "preds.csv"), PATHS, foretell, resume=True)
    (tmp_path / ".preds.csv.pieces" / "begun.json").write_text("{")
    with pytest.raises(StorageError, match=r"begun.json is damaged. Remove that folder to start anew."):
        begun(str(tmp_path / "preds.csv"), resume=True)


def test_a_place_that_cannot_be_written_is_said_before_anything_is_predicted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*file"):
        begun(str(tmp_path / "file" / "preds.csv"))
