"""The real Optuna on real SQLite files; what a trial would train is a number here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tellapart.errors import BundleError, CallError, MissingExtraError, StorageError
from tellapart.tuning.spaces import Axis, Space
from tellapart.tuning.studies import INTERRUPTED, TIME_UP, Study, opened, refuse_missing_optuna

pytest.importorskip("optuna")

SMALL = Space((Axis("fit", ("crop", "pad", "squish")), Axis("size", (224, 96))))
FIRST = {"fit": "crop", "size": 224}
LARGE = Space((Axis("balance", high=1.0), Axis("lr", low=1e-4, high=0.1, log=True, or_open=True)))
LARGE_FIRST = {"balance": 0.0, "lr": None}


def finish(study: Study, first: dict[str, object], n: int) -> list[dict[str, object]]:
    made = []
    for _ in range(n):
        attempt = study.begin(first)
        made.append(attempt.choices)
        attempt.finish(1 - float(attempt.choices.get("balance", 0.5)), seconds=1.0)
    return made


def test_each_combination_is_tried_once_the_recipe_as_it_stands_first(tmp_path: Path) -> None:
    with opened(tmp_path, SMALL, seed=0) as study:
        made = finish(study, FIRST, 6)
        assert study.is_exhausted()
    assert made[0] == FIRST
    assert len({tuple(one.items()) for one in made}) == 6


def test_a_rate_that_is_best_left_open_is_left_so_once(tmp_path: Path) -> None:
    space = Space(LARGE.axes[1:])
    with opened(tmp_path, space, seed=0) as study:
        for _ in range(20):
            attempt = study.begin({"lr": None})
            attempt.finish(1.0 if attempt.choices["lr"] is None else 0.1, seconds=1.0)
        made = [one.choices["lr"] for one in study.trials()]
        assert not study.is_exhausted()
    assert made[0] is None
    assert None not in made[1:]
    assert len(set(made)) == 20


def test_a_study_that_is_gone_on_with_draws_as_an_uninterrupted_one(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with opened(tmp_path / "one", LARGE, seed=3) as study:
        whole = finish(study, LARGE_FIRST, 12)
    parts = []
    for n in (5, 4, 3):
        with opened(tmp_path / "two", LARGE, seed=3) as study:
            parts += finish(study, LARGE_FIRST, n)
    assert parts == whole
    (tmp_path / "other").mkdir()
    with opened(tmp_path / "other", LARGE, seed=4) as study:
        assert finish(study, LARGE_FIRST, 3)[1:] != whole[1:3]


def test_trials_tell_how_they_ended(tmp_path: Path) -> None:
    with opened(tmp_path, LARGE, seed=0) as study:
        study.begin(LARGE_FIRST).finish(0.75, seconds=2.0)
        study.begin(LARGE_FIRST).prune("worse", seconds=1.0)
        study.begin(LARGE_FIRST).fail("it diverged", seconds=0.5)
    with opened(tmp_path, LARGE, seed=0) as study:
        found = study.trials()
    assert [(one.name, one.state, one.accuracy, one.reason, one.seconds) for one in found] == [
        ("trial-000", "finished", 0.75, "", 2.0),
        ("trial-001", "pruned", None, "worse", 1.0),
        ("trial-002", "failed", None, "it diverged", 0.5),
    ]


def test_what_is_worse_than_the_others_is_hopeless(tmp_path: Path) -> None:
    with opened(tmp_path, LARGE, seed=0) as study:
        for accuracy in (0.5, 0.6, 0.7, 0.8):
            attempt = study.begin(LARGE_FIRST)
            assert not any(attempt.is_hopeless(epoch, accuracy) for epoch in (1, 2, 3))
            attempt.finish(accuracy, seconds=1.0)
        better, worse = study.begin(LARGE_FIRST), study.begin(LARGE_FIRST)
        assert [better.is_hopeless(epoch, 0.7) for epoch in (1, 2)] == [False, False]
        assert [worse.is_hopeless(epoch, 0.6) for epoch in (1, 2)] == [False, True]


def test_what_was_cut_off_is_tried_again_but_not_a_third_time(tmp_path: Path) -> None:
    with opened(tmp_path, SMALL, seed=0) as study:
        assert study.begin(FIRST).choices == FIRST  # no end: as if the process had been killed
    with opened(tmp_path, SMALL, seed=0) as study:
        assert study.unfinished() == (0,)
        study.settle(0, None)
        again = study.begin(FIRST)
        assert again.choices == FIRST
        again.fail(TIME_UP, seconds=1.0)
        assert [one.reason for one in study.trials()] == [INTERRUPTED, TIME_UP]
        others = finish(study, FIRST, 5)
        assert FIRST not in others
        assert study.is_exhausted()


def test_a_run_that_was_whole_when_the_kill_came_counts(tmp_path: Path) -> None:
    with opened(tmp_path, SMALL, seed=0) as study:
        study.begin(FIRST)
    with opened(tmp_path, SMALL, seed=0) as study:
        study.settle(0, 0.875)
        assert (study.trials()[0].state, study.trials()[0].accuracy) == ("finished", 0.875)


def test_importances_name_the_field_that_matters_and_need_enough_trials(tmp_path: Path) -> None:
    with opened(tmp_path, LARGE, seed=0) as study:
        finish(study, LARGE_FIRST, 19)
        assert study.importances() == {}
        finish(study, LARGE_FIRST, 6)
        found = study.importances()
    assert list(found) == ["balance", "lr"]
    assert sum(found.values()) == pytest.approx(1)


def test_two_cannot_work_on_one_study(tmp_path: Path) -> None:
    with (
        opened(tmp_path, SMALL, seed=0),
        pytest.raises(CallError, match=r"somebody is tuning in .* already\. Wait for it"),
        opened(tmp_path, SMALL, seed=0),
    ):
        pass
    with opened(tmp_path, SMALL, seed=0) as study:
        assert study.trials() == ()


def test_the_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests_space import SMALL\n"
        "from tellapart.tuning.studies import opened\n"
        "with opened(Path(sys.argv[1]), SMALL, seed=0) as study:\n"
        "    study.begin({'fit': 'crop', 'size': 224}); print('begun', flush=True); time.sleep(60)\n"
    )
    (tmp_path / "tests_space.py").write_text(
        "from tellapart.tuning.spaces import Axis, Space\n"
        "SMALL = Space((Axis('fit', ('crop', 'pad', 'squish')), Axis('size', (224, 96))))\n"
    )
    folder = tmp_path / "study"
    folder.mkdir()
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGKILL)
    with opened(folder, SMALL, seed=0) as study:
        assert study.unfinished() == (0,)


def test_folders_may_be_called_anything(tmp_path: Path) -> None:
    folder = tmp_path / "a?b #c{d} %20 é"
    folder.mkdir()
    with opened(folder, SMALL, seed=0) as study:
        finish(study, FIRST, 1)
    assert sorted(path.name for path in folder.iterdir()) == [".study.lock", "study.db"]


def test_a_damaged_or_missing_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database at all" * 300)
    with pytest.raises(BundleError, match=r"study\.db is damaged"), opened(tmp_path, SMALL, seed=0):
        pass
    (tmp_path / "study.db").unlink()
    (tmp_path / "trial-000").mkdir()
    with pytest.raises(BundleError, match=r"study\.db is missing, though there are trials"), opened(tmp_path, SMALL, seed=0):
        pass


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write into .*absent"), opened(tmp_path / "absent", SMALL, seed=0):
        pass


def test_a_missing_extra_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tellapart.tuning.studies.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"tuning needs: pip install 'tellapart\[tune\]'"):
        refuse_missing_optuna()
