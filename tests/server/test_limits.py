from __future__ import annotations

import threading

import pytest

from tellapart.server.limits import Limits, PixelGate, Refusal, Room


def test_a_room_gives_back_what_was_taken() -> None:
    room = Room(Limits(queue_pictures=3, queue_bytes=100))
    with room.held() as held:
        held.take(n_pictures=2, n_bytes=60)
        with room.held() as other:
            other.take(n_bytes=40)
            with pytest.raises(Refusal) as caught:
                other.take(n_pictures=2)
        assert (caught.value.status, caught.value.retry_after_s) == (429, 1)
        assert (room.n_pictures, room.n_bytes) == (2, 60)
        held.take(n_pictures=1)
        with pytest.raises(Refusal), room.held():
            pass
    assert (room.n_pictures, room.n_bytes) == (0, 0)


def test_large_pictures_wait_for_each_other_and_one_always_passes() -> None:
    gate = PixelGate(100)
    entered = threading.Event()

    def decode() -> None:
        with gate.passed(60):
            entered.set()

    with gate.passed(1000):
        thread = threading.Thread(target=decode)
        thread.start()
        assert not entered.wait(0.05)
    thread.join()
    assert entered.is_set()
    with gate.passed(50), gate.passed(50):
        pass
