from __future__ import annotations

import hashlib
import signal
from pathlib import Path

import pytest

from tellapart.server.keys import Keys, Rates

from .conftest import Start


def hashed(*names: str) -> str:
    """A file of keys, each key being its name backwards."""
    return "".join(f"{name} {hashlib.sha256(name[::-1].encode()).hexdigest()}  # ours\n" for name in names)


def test_a_key_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# keys\n\n" + hashed("phone", "shop"))
    keys = Keys.read(tmp_path / "keys")
    assert keys.name_of(b"enohp") == "phone"
    assert keys.name_of(b"pohs") == "shop"
    assert keys.name_of(b"phone") is None
    assert keys.name_of(b"") is None


def test_a_bucket_holds_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("tellapart.server.keys.time.monotonic", lambda: now)
    rates = Rates(2)
    assert [rates.wait_s("a") for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert rates.wait_s("b") == 0
    now += 0.5
    assert [rates.wait_s("a"), rates.wait_s("a")] == [0, 0.5]
    assert [Rates(0).wait_s("a") for _ in range(100)] == [0] * 100


def test_only_who_has_a_key_may_ask(start: Start, run_folder: Path, tmp_path: Path, contents: list[bytes]) -> None:
    (tmp_path / "keys").write_text(hashed("phone"))
    with start(run_folder, "--api-keys", tmp_path / "keys") as server:
        for headers in ({}, {"authorization": "Bearer phone"}, {"authorization": "Basic enohp"}, {"x_api_key": "\xe9"}):
            reply = server.predict(contents[0], **headers)
            assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert server.predict(contents[0], authorization="Bearer enohp").status == 200
        assert server.predict(contents[0], x_api_key="enohp").status == 200
        assert [server.ask("GET", path).status for path in ("/v1/models", "/metrics", "/nothing")] == [401] * 3
        assert [server.ask("GET", path).status for path in ("/", "/page.js", "/health", "/ready")] == [200] * 4
        assert "phone" in {line.get("key") for line in server.logs()}
        assert "enohp" not in server.log_file.read_text()
        (tmp_path / "keys").write_text(hashed("shop"))
        server.process.send_signal(signal.SIGHUP)
        while server.predict(contents[0], x_api_key="pohs").status != 200:
            pass
        assert server.predict(contents[0], x_api_key="enohp").status == 401
        (tmp_path / "keys").write_text("nonsense")
        server.process.send_signal(signal.SIGHUP)
        while "keys_kept" not in server.log_file.read_text():
            pass
        assert server.predict(contents[0], x_api_key="pohs").status == 200


def test_each_key_has_its_rate(start: Start, run_folder: Path, tmp_path: Path, contents: list[bytes]) -> None:
    (tmp_path / "keys").write_text(hashed("phone", "shop"))
    with start(run_folder, "--api-keys", tmp_path / "keys", "--rate", "0.01") as server:
        assert server.predict(contents[0], x_api_key="enohp").status == 200
        reply = server.predict(contents[0], x_api_key="enohp")
        assert (reply.status, reply.json["error"]["kind"]) == (429, "rate")
        assert 90 <= int(reply.headers["retry-after"]) <= 100
        assert server.predict(contents[0], x_api_key="pohs").status == 200
        told = server.ask("GET", "/metrics", x_api_key="pohs").body
        assert b'tellapart_requests_total{route="/v1/predict",status="429"} 1' in told
        assert b'tellapart_refusals_total{kind="rate"} 1' in told
