"""The listener's side of the web process: every message from a point on, history first and then as they come.

After a restart the connection is made anew and goes on after the last message. Numbers (``seq``) are those of one
journal: with each of them goes the digest of the message. If the relay has moved, or has a new journal, that does not
fit, and the messages are told apart by their bytes instead.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from fedmsg_relay import config as global_config
from fedmsg_relay.errors import ConfigError, NoRelayError, UsageError
from fedmsg_relay.network.address import split

PORT = 9943
"""Where the web process listens if nothing else is said."""

REMEMBERED = 50_000
"""Messages, the last ones, by which those of another journal are known again."""

OVERLAP_SECONDS = 60.0
"""How much earlier another journal is read than the first message that is remembered: clocks differ."""

SILENT_SECONDS = 45.0
"""Time without a sign of life after which the connection is made anew."""

RETRY_SECONDS = 5.0
"""Maximum time between two tries to connect."""

_log = logging.getLogger("fedmsg_relay")


class Message(NamedTuple):
    """A message as the relay has journaled it.

    Attributes:
        seq: its number in that relay's journal.
        time: when it was journaled, in Unix seconds.
        msg_id: of the envelope, if it has one.
        topic: first frame.
        text: second frame: the exact text of the body.
    """

    seq: int
    time: float
    msg_id: str | None
    topic: str
    text: str

    @property
    def body(self) -> Any:
        """The body as Python has it: normally the envelope, a dict."""
        return json.loads(self.text)

    def digest(self) -> bytes:
        """Make the digest of topic and body, as the journal has it."""
        topic = self.topic.encode()
        made = hashlib.blake2b(len(topic).to_bytes(8, "big"), digest_size=16)
        made.update(topic)
        made.update(self.text.encode())
        return made.digest()


def tail(
    since: float | None = None,
    after: int | str | None = None,
    topic: str = "",
    filenames: Sequence[str] | None = None,
) -> Iterator[Message]:
    """Get every message from a point on, in the order of the relay's journal; without end.

    Args:
        since: begin at this time, in Unix seconds.
        after: begin after the message with this ``seq`` or ``msg_id``; a ``msg_id`` is the same at another relay.
            Without both: begin with the next message.
        topic: only messages whose topic begins so.
        filenames: config files to read instead of those in the usual places. They are read at each connect.

    Yields:
        Each message once, also across a restart and a move of the relay.

    Raises:
        NoRelayError: what answers there is not a web process of fedmsg-relay.
        UsageError: the relay has no message ``after``.
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
            if urlsplit(url).scheme != "http" or not urlsplit(url).hostname:
                raise ConfigError(f"global config: relay_web: {url!r} is not a URL such as 'http://host:{PORT}'")
        return found
    hosts = []
    for address in global_config.addresses(config, "relay_inbound"):
        host, _ = split(address, "global config: relay_inbound")
        hosts.append(f"http://{f'[{host}]' if ':' in host else host}:{PORT}")
    return list(dict.fromkeys(hosts))


class _Tail:
    """Where a listener is, and what it has had."""

    def __init__(
        self, since: float | None, after: int | str | None, topic: str, filenames: Sequence[str] | None
    ) -> None:
        self._since = since
        self._after = after
        self._digest = ""
        self._topic = topic
        self._filenames = filenames
        self._here = str(Path.cwd())
        self._urls: list[str] = []
        self._remembered: deque[tuple[float, bytes]] = deque(maxlen=REMEMBERED)
        self._first: float | None = since
        self._known: Counter[bytes] = Counter()
        self._silent = False

    def messages(self) -> Iterator[Message]:
        pause = 0.1
        while True:
            self._look_again()
            for url in self._urls:
                for message in self._stream(url):
                    pause = 0.1
                    yield from self._new(message)
            time.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS)

    def _look_again(self) -> None:
        """Read the config: the relay may have moved."""
        try:
            self._urls = urls(global_config.merged(self._filenames, {}, self._here))
        except ConfigError as error:
            if not self._urls:
                raise
            self._say(str(error))

    def _new(self, message: Message) -> Iterator[Message]:
        digest = message.digest()
        self._after, self._digest, self._since = message.seq, digest.hex(), None
        if self._first is None:
            self._first = message.time
        if self._known[digest]:
            self._known[digest] -= 1
            return
        self._remembered.append((message.time, digest))
        yield message

    def _stream(self, url: str) -> Iterator[Message]:
        """Yield what one connection brings."""
        parts = urlsplit(url)
        strange, told = 0, {}
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=SILENT_SECONDS)
        try:
            connection.request("GET", f"{parts.path}/stream?{urlencode(self._place())}")
            answer = connection.getresponse()
            if answer.status == 200 and answer.headers.get_content_type() == "text/event-stream":
                self._silent = False
                yield from self._events(answer)
            elif answer.status == 409:
                told = json.loads(answer.read())
            elif answer.status == 503:
                self._say(f"{url} is busy: {answer.read(1000).decode(errors='replace').strip()}")
            else:
                strange = answer.status
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._say(f"no web process answers at {url}: {error}")
        finally:
            connection.close()
        if strange:
            raise NoRelayError(f"{url}: not a web process of fedmsg-relay (HTTP {strange})")
        if told:
            self._begin_anew(told)

    def _events(self, answer: http.client.HTTPResponse) -> Iterator[Message]:
        kind = b""
        while line := answer.readline():
            field, _, value = line.rstrip(b"\n").partition(b": ")
            if field == b"event":
                kind = value
            elif field == b"data":
                told = json.loads(value)
                if kind == b"place":  # up to here nothing is wanted
                    self._after, self._digest, self._since = told["seq"], told["digest"], None
                else:
                    yield Message(told["seq"], told["time"], told["msg_id"], told["topic"], told["body"])
            elif not field:
                kind = b""

    def _place(self) -> dict[str, Any]:
        place: dict[str, Any] = {"topic": self._topic} if self._topic else {}
        if self._since is not None:
            place["since"] = self._since
        elif self._after is not None:
            place["after"] = self._after
            if self._digest:
                place["digest"] = self._digest
        return place

    def _begin_anew(self, told: Mapping[str, Any]) -> None:
        """Read another journal from the time of what is remembered, and leave out what has been had."""
        if not self._remembered and not self._digest:
            raise UsageError(f"the relay has no message {self._after}: begin at a time instead")
        self._known = Counter(digest for _, digest in self._remembered)
        earliest = self._remembered[0][0] if self._remembered else time.time()
        self._since = max(self._first or 0.0, earliest - OVERLAP_SECONDS)
        oldest, latest = told.get("oldest"), self._remembered[-1][0] if self._remembered else None
        if oldest is not None and latest is not None and oldest > latest:
            _log.warning("messages between %s and %s may be missing: the journal does not have them", latest, oldest)

    def _say(self, text: str) -> None:
        """Say it once for each time that no message comes."""
        if not self._silent:
            self._silent = True
            _log.warning("%s; trying again", text)
