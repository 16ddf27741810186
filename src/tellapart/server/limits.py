"""What the server takes at most, and the room that all requests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition

from tellapart.errors import TellapartError
from tellapart.images.limits import MAX_PIXELS

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Of one request and of all together. Those without an option of the command are guesses that no one has needed to change."""

    body_bytes: int = 32 * MIB  # of one request
    pictures: int = 64  # of one request
    queue_pictures: int = 256  # of all requests that are being answered: about a second's work for two cores
    queue_bytes: int = 256 * MIB  # of all bodies that are held
    decoding_pixels: int = MAX_PIXELS  # of all pictures that are being decoded at the same time: 0.3 GB of RGB
    links: int = 16  # of one request
    links_queue: int = 64  # of all requests
    links_at_once: int = 8  # of those; the others wait for their turn
    link_bytes: int = 8 * MIB  # of one picture; 64 MiB on their way at most, beside the bodies that are held
    link_s: float = 10.0  # for one picture, redirects and all
    json_marks: int = 20_000  # braces, brackets and commas of a JSON body; base64 has none
    field_bytes: int = 1024  # of an option in a multipart body
    pipelined: int = 16  # requests of one connection that wait for the answer to the one before
    read_s: float = 10.0  # for a client to read some of an answer
    head_bytes: int = 64 * 1024  # of a request's headers, or between two parts of its body
    headers_s: float = 10.0  # from the connection, or the first byte of a request, to the end of its headers
    body_s: float = 60.0  # for the whole body
    body_grace_s: float = 5.0  # after which it must have come at `body_bytes_per_s` on the mean
    body_bytes_per_s: int = 16 * 1024
    answer_s: float = 30.0  # from the body to the answer
    drain_s: float = 30.0  # for the requests that are being answered when the server is told to stop
    connections: int = 4096
    requests_per_s: float = 0.0  # of one key, or one address where there are no keys; 0: as many as come


class Refusal(TellapartError):
    """A request that is not answered as asked. `kind` is one word for counting, `status` HTTP's number."""

    def __init__(self, status: int, kind: str, text: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.kind = kind
        self.retry_after_s = retry_after_s


class Room:
    """How many pictures and bytes all requests hold together. Full, it refuses at once: a queue that grows helps no one."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.n_pictures = 0
        self.n_bytes = 0

    @contextmanager
    def held(self) -> Iterator[Held]:
        """What one request takes of the room; all of it is given back at the end. Raises Refusal (429) where none is left."""
        if self.is_full():
            raise overloaded()
        held = Held(self)
        try:
            yield held
        finally:
            self.n_pictures -= held.n_pictures
            self.n_bytes -= held.n_bytes

    def is_full(self, *, n_coming: int = 0) -> bool:
        """Whether no other picture fits in beside so many that are coming."""
        return self.n_pictures + n_coming >= self._limits.queue_pictures or self.n_bytes >= self._limits.queue_bytes

    def has(self, *, n_pictures: int = 0, n_bytes: int = 0) -> bool:
        """Whether so many more fit in."""
        fits = self.n_pictures + n_pictures <= self._limits.queue_pictures
        return fits and self.n_bytes + n_bytes <= self._limits.queue_bytes


class Held:
    """The part of a room that one request holds."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.n_pictures = 0
        self.n_bytes = 0

    def take(self, *, n_pictures: int = 0, n_bytes: int = 0) -> None:
        """Hold so many more. Raises Refusal (429) where they do not fit in."""
        if not self._room.has(n_pictures=n_pictures, n_bytes=n_bytes):
            raise overloaded()
        self.n_pictures += n_pictures
        self.n_bytes += n_bytes
        self._room.n_pictures += n_pictures
        self._room.n_bytes += n_bytes


def overloaded() -> Refusal:
    """The answer to one request too many."""
    return Refusal(429, "overloaded", "more pictures are waiting than can be answered soon; try again", retry_after_s=1)


class PixelGate:
    """Lets threads decode at the same time while their pictures have at most so many pixels together; one always may."""

    def __init__(self, n_pixels: int) -> None:
        self._n_pixels = n_pixels
        self._n_free = n_pixels
        self._changed = Condition()

    @contextmanager
    def passed(self, n_pixels: int) -> Iterator[None]:
        """Wait until a picture of so many pixels may be decoded."""
        wanted = min(n_pixels, self._n_pixels)
        with self._changed:
            self._changed.wait_for(lambda: self._n_free >= wanted)
            self._n_free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._n_free += wanted
                self._changed.notify_all()
