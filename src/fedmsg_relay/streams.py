"""One relay's stream of messages, as its web process sends it: history first and then as they come.

After a restart the connection is made anew and goes on after the last message. Numbers (``seq``) are those of one
journal: with each of them goes the digest of the message. If the relay has a new journal, that does not fit, and the
stream begins anew at a time; then its messages are told apart by their bytes (:mod:`fedmsg_relay.tailing`).
"""

from __future__ import annotations

import http.client
import json
import logging
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode, urlsplit

from fedmsg_relay import events
from fedmsg_relay.errors import NoRelayError, UsageError, printable
from fedmsg_relay.events import Message, NotOursError, Place

SILENT_SECONDS = 45.0
"""Time without a sign of life after which the connection is made anew."""

CONNECT_SECONDS = 5.0
"""Maximum time to connect, and for the answer to a question."""

RETRY_SECONDS = 5.0
"""Maximum time between two tries to connect."""

_MAX_ANSWER = 64 * 1024

_PUT_SECONDS = 0.5
"""Interval at which a stream looks whether it has been ended, while nobody takes its messages."""

_log = logging.getLogger("fedmsg_relay")


class NotYetError(Exception):
    """It cannot be told yet from when on to read another journal."""


@dataclass(eq=False)
class Position:
    """How far a journal has been read. Streams of one journal share it.

    Attributes:
        since: begin at this time, in Unix seconds.
        after: begin after the message with this ``seq`` or ``msg_id``. Without both: with the next message.
        digest: of the message with the number ``after``, in hexadecimal digits; empty if it is not known.
        reader: the stream that reads the journal.
    """

    since: float | None = None
    after: int | str | None = None
    digest: str = ""
    reader: Stream | None = None

    def move(self, seq: int, digest: str) -> None:
        """Go on after a message."""
        self.since, self.after, self.digest = None, seq, digest


class Heard(NamedTuple):
    """A message or a fault that a stream has brought.

    Attributes:
        journal: of which the message is.
        message: the message, if it is one.
        error: why the stream has ended, if it is that.
    """

    journal: Position
    message: Message | None = None
    error: Exception | None = None


class Listener(Protocol):
    """Whom streams read for. Called in their threads."""

    def go_on(self, stream: Stream) -> bool:
        """Tell whether a stream is to connect."""

    def others(self, stream: Stream) -> list[Stream]:
        """Get the other streams, once those before it have tried to connect."""

    def claim(self, stream: Stream) -> bool:
        """Let a stream read its journal, unless another one does."""

    def resume(self, stream: Stream, oldest: object) -> float | None:
        """Tell from when on to read, if the relay does not have the last message; None where that is an error.

        Raises:
            NotYetError: it is to be asked again later.
        """


class Stream:
    """Reads one relay's messages in a thread.

    Two addresses may be those of one relay. Then only one stream reads, and the other one goes on when it cannot.

    Args:
        url: of the web process.
        topic: beginning of the topics that are wanted.
        at: where to begin.
        heard: takes what comes.
        listener: whom it reads for.

    Attributes:
        at: how far its journal has been read.
        begun: whether the relay has told a place in its journal.
        tried: set once it could not connect, or has a place by which its journal can be known.
    """

    def __init__(self, url: str, topic: str, at: Position, heard: queue.Queue[Heard], listener: Listener) -> None:
        self.url = url
        self.at = at
        self.begun = False
        self.tried = threading.Event()
        self._topic = topic
        self._heard = heard
        self._listener = listener
        self._silent = False
        self._ended = threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._run, name=f"tail {self.url}", daemon=True).start()

    def end(self) -> None:
        """End it."""
        self._ended.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def say(self, text: str) -> None:
        """Say it once for each time that no message comes."""
        if not self._silent:
            self._silent = True
            _log.warning("%s; trying again", printable(text))

    def _run(self) -> None:
        pause = 0.1
        try:
            while not self._ended.is_set() and self._listener.go_on(self):
                if self._is_read_elsewhere():
                    self.tried.set()
                    self._ended.wait(RETRY_SECONDS)
                    continue
                for message in self._connected():
                    pause = 0.1
                    self.at.move(message.seq, message.digest().hex())
                    self._put(Heard(self.at, message))
                    if self._ended.is_set():
                        return
                self._ended.wait(pause)
                pause = min(2 * pause, RETRY_SECONDS)
        except Exception as error:  # noqa: BLE001 -- the reader raises it; it would wait for ever for a dead thread
            self._put(Heard(self.at, error=error))
        finally:
            self.tried.set()

    def _is_read_elsewhere(self) -> bool:
        """Whether another stream reads this journal. If the other cannot go on, this stream does so at its place."""
        for other in self._listener.others(self):
            at = other.at
            if at.reader is None or at.reader is self:
                continue
            if at is self.at:
                return True
            after, digest = at.after, at.digest
            if digest and self._get("messages", {"after": after, "digest": digest, "limit": 1}):
                self.at, self.begun = at, True
                return True
        return False

    def _get(self, what: str, query: Mapping[str, Any]) -> bool:
        """Ask for something, and tell whether the answer is as it should be."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=CONNECT_SECONDS)
        try:
            connection.request("GET", f"{parts.path}/{what}?{urlencode(query)}")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()

    def _put(self, heard: Heard) -> None:
        while not self._ended.is_set():
            with suppress(queue.Full):
                self._heard.put(heard, timeout=_PUT_SECONDS)
                return

    def _connected(self) -> Iterator[Message]:
        """Yield what one connection brings."""
        parts = urlsplit(self.url)
        strange, told = "", None
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=CONNECT_SECONDS)
        self._connection = connection
        try:
            connection.connect()
            connection.sock.settimeout(SILENT_SECONDS)
            connection.request("GET", f"{parts.path}/stream?{urlencode(self._place())}")
            answer = connection.getresponse()
            if answer.status == 200 and answer.headers.get_content_type() == "text/event-stream":
                self._silent = False
                if self._listener.claim(self):
                    yield from self._events(answer)
            elif answer.status == 409:
                told = dict(json.loads(answer.read(_MAX_ANSWER)))
            elif answer.status >= 500:  # a proxy may say it as well
                self.say(f"{self.url} is busy: {answer.read(1000).decode(errors='replace').strip() or answer.status}")
            else:
                strange = f"HTTP {answer.status}"
        except NotOursError as error:
            strange = str(error)
        except (OSError, http.client.HTTPException, ValueError, TypeError, RecursionError) as error:
            self.say(f"no web process answers at {self.url}: {error}")
        finally:
            if self.at.reader is self:
                self.at.reader = None
            self.tried.set()
            connection.close()
        if strange:
            raise NoRelayError(f"{self.url}: not a web process of fedmsg-relay ({strange})")
        if told is not None:
            try:
                self._begin_anew(told)
            except NotYetError as error:
                self.say(str(error))

    def _events(self, answer: http.client.HTTPResponse) -> Iterator[Message]:
        kind = b""
        while line := answer.readline(events.MAX_EVENT_BYTES):
            if len(line) == events.MAX_EVENT_BYTES:
                raise NotOursError(f"it sends an event of more than {events.MAX_EVENT_BYTES >> 20} MiB")
            if line[-1:] != b"\n":
                return  # cut off in the middle
            field, _, value = line.rstrip(b"\n").partition(b": ")
            if field == b"event":
                kind = value
            elif field == b"data":
                if kind == b"place":
                    place = events.read(value, Place)
                    self.at.move(place.seq, place.digest)
                    self.begun = True
                else:
                    yield events.message(value)
            elif not field:  # the end of an event, or a sign of life
                kind = b""
                if self.at.digest or line != b"\n":
                    self.tried.set()

    def _place(self) -> dict[str, Any]:
        at = self.at
        place: dict[str, Any] = {"topic": self._topic} if self._topic else {}
        if at.since is not None:
            place["since"] = at.since
        elif at.after is not None:
            place["after"] = at.after
            if at.digest:
                place["digest"] = at.digest
        return place

    def _begin_anew(self, told: Mapping[str, Any]) -> None:
        """Read another journal from a time on."""
        since = self._listener.resume(self, told.get("oldest"))
        if since is None:
            raise UsageError(f"the relay has no message {self.at.after}: begin at a time instead")
        self.at = Position(since)
