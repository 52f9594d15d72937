"""The listener's side of the web process: every message from a point on, history first and then as they come.

Each relay that the config names is read by a stream of its own. A message that several of them have is given once.
"""

from __future__ import annotations

import http.client
import json
import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from fedmsg_relay import config as global_config
from fedmsg_relay.errors import ConfigError, NoRelayError, UsageError
from fedmsg_relay.events import Message
from fedmsg_relay.network.address import split
from fedmsg_relay.streams import CONNECT_SECONDS, Heard, NotYetError, Position, Stream

__all__ = ["PORT", "Message", "tail", "urls"]

PORT = 9943
"""Where the web process listens if nothing else is said."""

REMEMBERED = 50_000
"""Messages, the last ones, by which those of another journal are known again."""

OVERLAP_SECONDS = 60.0
"""How much earlier another journal is read than the first message that is remembered: clocks differ."""

_WAITING = 16
"""Messages that wait to be taken; a message may be large."""

_ASK_SECONDS = 10.0

_MAX_ANSWER = 1024 * 1024

_STRANGE = (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, ArithmeticError, RecursionError)
"""Errors of an answer that may be anybody's."""

_log = logging.getLogger("fedmsg_relay")


def tail(
    since: float | None = None,
    after: int | str | None = None,
    topic: str = "",
    filenames: Sequence[str] | None = None,
) -> Iterator[Message]:
    """Get every message from a point on, of each relay in the order of its journal; without end.

    Args:
        since: begin at this time, in Unix seconds.
        after: begin after the message with this ``seq`` or ``msg_id``; a ``msg_id`` is the same at another relay.
            Without both: begin with the next message.
        topic: only messages whose topic begins with this.
        filenames: config files to read instead of those in the usual places. They are read at each connect.

    Yields:
        Each message once, also across a restart and a move of the relay.

    Raises:
        NoRelayError: none of the relays is left, as what answers there is not a web process of fedmsg-relay.
        UsageError: the relay has no message ``after``; or it is a ``seq``, and the config names several relays; or
            ``after`` or ``topic`` is not UTF-8.
        ConfigError: the config cannot be used, or names no relay.
    """
    return _Tail(since, after, topic, filenames).messages()


def urls(config: Mapping[str, Any]) -> list[str]:
    """Get where web processes are.

    Args:
        config: the merged global config.

    Returns:
        ``relay_web``, else the hosts of ``relay_inbound`` with port 9943: URLs without a path.

    Raises:
        ConfigError: it names none.
    """
    if config.get("relay_web"):
        found = [url.rstrip("/") for url in global_config.addresses(config, "relay_web")]
        for url in found:
            if not _is_url(url):
                raise ConfigError(f"global config: relay_web: {url!r} is not a URL such as 'http://host:{PORT}'")
        return list(dict.fromkeys(found))
    hosts = []
    for address in global_config.addresses(config, "relay_inbound"):
        host, _ = split(address, "global config: relay_inbound")
        hosts.append(f"http://{f'[{host}]' if ':' in host else host}:{PORT}")
    return list(dict.fromkeys(hosts))


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port beyond 65535
        return False


class _Tail:
    """What a listener wants, and what it has had."""

    def __init__(
        self, since: float | None, after: int | str | None, topic: str, filenames: Sequence[str] | None
    ) -> None:
        self._first: float | None = since
        self._after = after
        self._topic = topic
        self._filenames = filenames
        self._here = global_config.current_directory()
        self._lock = threading.Lock()
        self._urls: list[str] = []
        self._streams: dict[str, Stream] = {}
        self._heard: queue.Queue[Heard] = queue.Queue(_WAITING)
        self._began = time.time()
        self._settled = False  # whether a relay has told a place
        # Of the messages that were given: their digests in order, and how often each was given. And of each journal how
        # often it has brought each.
        self._given: deque[tuple[float, bytes]] = deque()
        self._times: Counter[bytes] = Counter()
        self._brought: dict[Position, Counter[bytes]] = {}

    def messages(self) -> Iterator[Message]:
        left_out = 0
        try:
            f"{self._after}{self._topic}".encode()
        except UnicodeEncodeError as error:
            raise UsageError("after and topic must be UTF-8: no message has such a name or topic") from error
        try:
            with self._lock:
                self._look_again()
                if isinstance(self._after, int) and len(self._urls) > 1:
                    raise UsageError(
                        f"numbers are those of one relay, and the config names {len(self._urls)}: "
                        "name a msg_id, or begin at a time"
                    )
                self._follow()
            while True:
                heard = self._heard.get()
                if heard.message is not None:
                    if self._is_new(heard.journal, heard.message):
                        yield heard.message
                elif heard.error is not None:
                    left_out += 1
                    with self._lock:
                        is_last = left_out >= len(self._streams)
                    if is_last or not isinstance(heard.error, NoRelayError):
                        raise heard.error
                    _log.warning("%s; it is left out", heard.error)
        finally:
            with self._lock:
                for stream in self._streams.values():
                    stream.end()

    # What was given.

    def _is_new(self, journal: Position, message: Message) -> bool:
        """Whether a journal has brought a message more often than it was given."""
        digest = message.digest()
        if journal not in self._brought:
            with self._lock:
                used = {stream.at for stream in self._streams.values()}
            self._brought = {one: counts for one, counts in self._brought.items() if one in used}
            self._brought[journal] = Counter()
        brought = self._brought[journal]
        brought[digest] += 1
        if self._first is None:
            self._first = message.time
        if brought[digest] <= self._times[digest]:
            return False
        self._times[digest] += 1
        self._given.append((message.time, digest))
        if len(self._given) > REMEMBERED:
            self._forget(self._given.popleft()[1])
        return True

    def _forget(self, digest: bytes) -> None:
        for counts in (self._times, *self._brought.values()):
            counts[digest] -= 1
            if counts[digest] <= 0:
                del counts[digest]

    def _since(self) -> float:
        """From when on another journal has to be read. Messages that are known already are not given again."""
        if not self._given:
            return self._began if self._first is None else self._first
        earliest, latest = self._given[0][0], self._given[-1][0]
        since = earliest - OVERLAP_SECONDS
        if len(self._given) >= REMEMBERED:  # messages before these would not be known again
            since = min(earliest + OVERLAP_SECONDS, latest - OVERLAP_SECONDS)
        return max(self._first or 0.0, since)

    # The streams; called in their threads.

    def go_on(self, stream: Stream) -> bool:
        """Tell whether a stream is to connect, by the config of now."""
        with self._lock:
            self._settled = self._settled or stream.begun
            try:
                self._look_again()
            except ConfigError as error:
                stream.say(str(error))
                return True
            if stream.url not in self._urls:
                self._streams.pop(stream.url, None)
            if stream.tried.is_set() and not stream.begun and (stream.at.since, stream.at.after) == (None, None):
                stream.at.since = self._began  # what has come since then is to come as well
            self._follow()
            return stream.url in self._urls

    def others(self, stream: Stream) -> list[Stream]:
        """Get the other streams, once those before it have tried to connect."""
        with self._lock:
            known = [self._streams[url] for url in self._urls if url in self._streams]
        for before in known[: known.index(stream) if stream in known else 0]:
            before.tried.wait(CONNECT_SECONDS)
        return [other for other in known if other is not stream]

    def claim(self, stream: Stream) -> bool:
        """Let a stream read its journal, unless another one does."""
        with self._lock:
            if stream.at.reader is None:
                stream.at.reader = stream
            return stream.at.reader is stream

    def resume(self, stream: Stream, oldest: object) -> float | None:
        """Tell from when on to read, if the relay does not have the last message; None where that is an error."""
        if not stream.begun and not self._settled:
            moment = self._time_of(stream)
            return moment if moment is None else moment - OVERLAP_SECONDS
        latest = self._given[-1][0] if self._given else None
        if isinstance(oldest, int | float) and latest is not None and oldest > latest:
            _log.warning("messages between %s and %s may be missing: the journal does not have them", latest, oldest)
        return self._since()

    def _look_again(self) -> None:
        """Read the config: the relay may have moved."""
        self._urls = urls(global_config.merged(self._filenames, {}, self._here))

    def _follow(self) -> None:
        """Read each relay that is not read yet."""
        begin = Position(self._since()) if self._settled else Position(self._first, self._after)
        for url in self._urls:
            if url not in self._streams:
                self._streams[url] = Stream(url, self._topic, replace(begin), self._heard, self)
                self._streams[url].start()

    def _time_of(self, stream: Stream) -> float | None:
        """Ask the other relays when they had the message after which to begin: the oldest one with its name."""
        busy = ""
        for url in self._urls:
            if url != stream.url and isinstance(self._after, str):
                parts = urlsplit(url)
                connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_ASK_SECONDS)
                try:
                    connection.request("GET", f"{parts.path}/trace?id={quote(self._after, safe='')}")
                    answer = connection.getresponse()
                    told = json.loads(answer.read(_MAX_ANSWER))
                    if answer.status == 503 or (told["journal"] and told["journal"]["first_time"] is None):
                        busy = url
                    else:
                        return float(told["journal"]["first_time"])
                except _STRANGE:
                    continue  # it does not have it, or does not answer
                finally:
                    connection.close()
        if busy:
            raise NotYetError(f"{busy} cannot tell yet when it had {self._after}")
        return None
