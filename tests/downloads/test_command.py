"""`tellapart collect` as people call it."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from tellapart.cli import app
from tellapart.errors import CallError

from .conftest import Server, jpeg, write_list


def test_lists_become_folders(server: Server, tmp_path: Path, tellapart) -> None:
    cats = write_list(tmp_path, "cats.txt", ["# cats", server.on("/1", jpeg(1)), server.on("/2", jpeg(2)), server.url + "/gone"])
    dogs = write_list(tmp_path, "dogs.txt", [server.on("/3", jpeg(3))])
    done = tellapart("collect", cats, dogs, "--out", tmp_path / "pets", "--allow-private")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "4 links = 3 kept + 1 not found (404)",
        f"what became of each link: {tmp_path}/pets/provenance.csv; run the same command again to try the failed ones once more",
    ]
    assert done.stderr == "cats.txt: 0 blank lines and 1 comment passed over\n"
    again = json.loads(tellapart("collect", cats, dogs, "--out", tmp_path / "pets", "--allow-private", "--json").stdout)
    assert (again["n_earlier"], again["classes"], again["n_links"]) == (3, {"cats": 2, "dogs": 1}, 4)


def test_exit_codes(canary: Server, tmp_path: Path, tellapart) -> None:
    links = write_list(tmp_path, "l.txt", [canary.url])
    refused = tellapart("collect", links, "--out", tmp_path / "data")
    assert refused.returncode == 1
    assert refused.stdout.startswith("1 link = 0 kept + 1 refused\n")
    assert canary.n_contacts == 0
    mixed = tellapart("collect", "fashion-mnist", links, "--out", tmp_path / "other")
    assert mixed.returncode == 2
    assert "fashion-mnist is a public set, fetched by itself: tellapart collect fashion-mnist --out DATA; then" in mixed.stderr
    unknown = tellapart("collect", "flower", "--out", tmp_path / "other")
    assert unknown.returncode == 2
    assert "unknown public set 'flower'; did you mean 'flowers'?" in unknown.stderr


def test_wrong_calls_do_nothing(tmp_path: Path) -> None:
    links = write_list(tmp_path, "l.txt", ["http://example.com/"])
    for words, text in (
        (["none.txt"], "none.txt is no file; give a text, CSV or JSON file of links"),
        ([str(links), "--from", "folder"], "--from says where a public set comes from"),
        ([str(links), "--label-column", "x"], "is a plain list of links without columns"),
    ):
        done = CliRunner().invoke(app, ["collect", *words, "--out", str(tmp_path / "other")])
        assert isinstance(done.exception, CallError)
        assert text in str(done.exception)
    assert not (tmp_path / "other").exists()


def test_a_public_set_by_name(tmp_path: Path, tellapart) -> None:
    (tmp_path / "fashion-mnist").mkdir()  # an earlier call's folder is not taken for a list
    done = tellapart("collect", "fashion-mnist", "--from", tmp_path, "--out", "fashion-mnist", cwd=tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path} does not hold train-images-idx3-ubyte.gz" in done.stderr
