"""The scripts' side: one connection to the first relay that answers, and ``publish`` over it.

A stock script connects and sleeps, hoping that the relay's subscription has arrived. Ours connects an XPUB socket,
which shows it the subscription, and sends as soon as it is there. This module is on the path of every one-off script:
it imports only what that needs.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import zmq

from fedmsg_relay import config as global_config
from fedmsg_relay.errors import ConfigError, NoRelayError, NotWellFormedError, UsageError

DEFAULT_TIMEOUT = 10.0
"""Seconds a publish may take, from looking for the relay to handing over the message."""

HEAD_START = 0.25
"""Seconds an address has to answer before the next one of the list is tried as well."""

PAUSE_SECONDS, SETTLE_MILLISECONDS = 0.01, 20
"""After a pause this long between two messages, how long to look whether the relay is still there."""

_SUBSCRIBED = b"\x01"

Json = dict[str, Any]


class Receipt(NamedTuple):
    """What is known about a message that was published.

    Attributes:
        msg_id: the message's own.
        topic: as it was sent.
        address: the relay that took it. Over inbound this means that a relay was subscribed and the message handed to
            its connection; it is not a word from the relay that it has it.
    """

    msg_id: str
    topic: str
    address: str


class Connection:
    """A connection to the inbound of the first relay that answers.

    Args:
        addresses: of inbound, in order of preference.
        where: where these stand, for messages.
        io_threads: of the ZeroMQ context.
        high_water_mark: messages that may wait to be sent; 0 is libzmq's own default. When so many wait, sending does.
    """

    def __init__(self, addresses: Sequence[str], where: str, io_threads: int = 1, high_water_mark: int = 0) -> None:
        self._addresses = list(dict.fromkeys(addresses))
        self._where = where
        self._high_water_mark = high_water_mark
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads)
        self._socket: zmq.Socket[bytes] | None = None
        self._last_sent = 0.0
        self.address = ""

    def send(self, topic: bytes, body: bytes, timeout: float) -> str:
        """Send one message to the relay, connecting first where that is needed.

        Args:
            topic: the first frame.
            body: the second frame.
            timeout: seconds for all of it.

        Returns:
            The address of the relay it was handed to.

        Raises:
            NoRelayError: no relay answered, or it took nothing, within the timeout. The message was not sent.
            ConfigError: an address can not be connected to at all.
        """
        deadline = time.monotonic() + timeout
        if self._socket is None or not self._still_subscribed(self._socket):
            self._connect(deadline, timeout)
        assert self._socket is not None  # noqa: S101 -- for the type checker: _connect raises otherwise
        self._socket.sndtimeo = max(1, int((deadline - time.monotonic()) * 1000))
        try:
            self._socket.send_multipart([topic, body])
        except zmq.Again:
            raise NoRelayError(f"the relay at {self.address} took nothing for {timeout:g} s; not sent") from None
        self._last_sent = time.monotonic()
        return self.address

    def close(self, timeout: float) -> None:
        """Hand over what is still queued, and close.

        Args:
            timeout: seconds that may take.

        Raises:
            NoRelayError: the relay left, or did not take everything in time: what was sent last may not have arrived.
        """
        connection, self._socket = self._socket, None
        lost = connection is not None and not self._still_subscribed(connection)
        started = time.monotonic()
        if connection is not None:
            connection.close(linger=max(1, int(timeout * 1000)))
        self._context.term()
        if lost or time.monotonic() - started >= timeout:
            raise NoRelayError(
                f"the relay at {self.address} left before it had everything; the last messages may be lost"
            )

    def _connect(self, deadline: float, timeout: float) -> None:
        """Connect to the addresses one after the other, without giving up on the earlier ones, until one answers."""
        self._disconnect()
        waiting = list(self._addresses)
        poller = zmq.Poller()
        tried: dict[zmq.Socket[bytes], str] = {}
        try:
            while (now := time.monotonic()) < deadline:
                if waiting:
                    opened = self._open(waiting[0])
                    tried[opened] = waiting.pop(0)
                    poller.register(opened, zmq.POLLIN)
                patience = min(deadline - now, HEAD_START) if waiting else deadline - now
                for answered, _ in poller.poll(max(1, int(patience * 1000))):
                    if answered.recv()[:1] == _SUBSCRIBED:
                        self.address = tried.pop(answered)
                        self._socket = answered
                        return
            found = ", ".join(self._addresses)
            raise NoRelayError(f"no relay answered within {timeout:g} s at {found} ({self._where}); not sent")
        finally:
            for other in tried:
                other.close(linger=0)

    def _open(self, address: str) -> zmq.Socket[bytes]:
        opened = self._context.socket(zmq.XPUB)
        opened.setsockopt(zmq.IPV6, 1)
        opened.setsockopt(zmq.LINGER, 0)
        opened.setsockopt(zmq.XPUB_NODROP, 1)
        # Queue for a live connection only, so that a relay's going shows as its subscription's.
        opened.setsockopt(zmq.IMMEDIATE, 1)
        if self._high_water_mark:
            opened.setsockopt(zmq.SNDHWM, self._high_water_mark)
        try:
            opened.connect(address)
        except zmq.ZMQError as error:
            opened.close()
            raise ConfigError(f"{self._where}: can not connect to {address!r}: {error.strerror}") from None
        return opened

    def _still_subscribed(self, connection: zmq.Socket[bytes]) -> bool:
        """Take in what the relay's side has said since: False once its subscription went with its connection."""
        subscribed = True
        # After a pause libzmq may have something to catch up with, in several steps of its two threads.
        patience = SETTLE_MILLISECONDS if time.monotonic() - self._last_sent > PAUSE_SECONDS else 0
        while connection.poll(patience):
            subscribed = connection.recv()[:1] == _SUBSCRIBED
        return subscribed

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None


class Publisher:
    """What ``fedmsg.init`` sets up: a config and, from the first message on, a connection.

    Args:
        config: the merged global config, with whatever the caller changed in it.
        timeout: seconds that closing may take, and each publish that names none.

    Raises:
        ConfigError: the config names no relay, or wants messages signed, which this version can not do.
    """

    def __init__(self, config: Mapping[str, Any], timeout: float = DEFAULT_TIMEOUT) -> None:
        refuse_to_sign(config)
        self._config = config
        self._timeout = timeout
        self._pid = os.getpid()
        self._i = 0
        self._lock = threading.Lock()
        self._connection = Connection(
            global_config.addresses(config, "relay_inbound"),
            f"relay_inbound of {global_config.sources(config)}",
            config.get("io_threads") or 1,
            config.get("high_water_mark") or 0,
        )

    @property
    def inherited(self) -> bool:
        """Whether this was set up before a fork; a ZeroMQ context does not survive one."""
        return self._pid != os.getpid()

    def publish(
        self,
        topic: str | None,
        msg: Any,
        modname: str | None,
        pre_fire_hook: Callable[[Json], None] | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Send one message; see :func:`publish`."""
        with self._lock:
            self._i += 1
            wrapped = envelope(self._config, self._i, topic or "unspecified", msg or {}, modname or _calling_module())
            if pre_fire_hook:
                pre_fire_hook(wrapped)
            address = self._connection.send(*encode(wrapped), self._timeout if timeout is None else timeout)
        return Receipt(wrapped["msg_id"], wrapped["topic"], address)

    def close(self) -> None:
        """Hand over what is queued, bounded by the timeout; see :meth:`Connection.close`."""
        self._connection.close(self._timeout)


def refuse_to_sign(config: Mapping[str, Any]) -> None:
    """Stop where messages must be signed, which this version can not do.

    Args:
        config: the merged global config.

    Raises:
        ConfigError: ``sign_messages`` is set.
    """
    if config.get("sign_messages"):
        raise ConfigError("sign_messages is set, and this version can not sign; nothing is sent unsigned instead")


def envelope(config: Mapping[str, Any], i: int, topic: str, msg: Any, modname: str) -> Json:
    """Wrap a message as stock fedmsg does.

    Args:
        config: the merged global config, for topic prefix and environment.
        i: the message's number in this process, from 1.
        topic: the last part of its topic.
        msg: what it says.
        modname: the part of the topic before it.

    Returns:
        The envelope, not signed.
    """
    topic = f"{modname}.{topic}"
    if not topic.startswith(config["topic_prefix"]):
        topic = f"{config['topic_prefix']}.{config['environment']}.{topic}"
    return {
        "topic": topic,
        "msg": msg,
        "timestamp": int(time.time()),
        "msg_id": f"{time.localtime().tm_year}-{_uuid4()}",
        "i": i,
        "username": _username(),
    }


def encode(wrapped: Json) -> tuple[bytes, bytes]:
    """Make the two frames of a message, byte for byte as stock fedmsg would.

    Args:
        wrapped: an envelope.

    Returns:
        Topic and body.

    Raises:
        NotWellFormedError: it can not be encoded, or a relay would drop it.
    """
    from fedmsg_relay.message import fault  # noqa: PLC0415 -- after the connection has begun

    try:
        body = json.dumps(wrapped, sort_keys=True, separators=(",", ":"), default=_plain).encode()
        topic = str(wrapped["topic"]).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotWellFormedError(f"not well-formed, not sent: {error}") from error
    if reason := fault(topic, body):
        raise NotWellFormedError(f"not well-formed, not sent: {reason}")
    return topic, body


def _plain(value: Any) -> Any:
    """What stock's encoder makes of objects that JSON has no word for."""
    if hasattr(value, "__json__"):
        return value.__json__()
    if hasattr(value, "timetuple"):  # datetime and date
        return time.mktime(value.timetuple())
    if isinstance(value, time.struct_time):
        return time.mktime(value)
    if isinstance(value, set):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _uuid4() -> str:
    """A random UUID (RFC 9562); the uuid module costs a cold script more than the message does."""
    number = bytearray(os.urandom(16))
    number[6] = number[6] & 0x0F | 0x40
    number[8] = number[8] & 0x3F | 0x80
    text = number.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _username() -> str:
    """Who publishes, looked up as getpass.getuser does."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        if name := os.environ.get(variable):
            return name
    import pwd  # noqa: PLC0415 -- seldom needed

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


_publisher: Publisher | None = None
_publisher_lock = threading.RLock()


def init(**config: Any) -> None:
    """Set up publishing for this process, as ``fedmsg.init(name='relay_inbound', **config)`` does.

    Args:
        config: goes over the global config key by key. ``name``, ``active`` and ``cert_prefix`` are taken as stock
            takes them; a script always publishes to the relay.

    Raises:
        UsageError: it is set up already.
        ConfigError: the config can not be used.
    """
    global _publisher  # noqa: PLW0603 -- stock's contract: one a process
    with _publisher_lock:
        if _publisher is not None and not _publisher.inherited:
            raise UsageError("fedmsg is already initialized")
        _publisher = Publisher({**global_config.load_config(), **config})


def publish(
    topic: str | None = None,
    msg: Any = None,
    modname: str | None = None,
    pre_fire_hook: Callable[[Json], None] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    **config: Any,
) -> Receipt:
    """Publish one message to the relay that the global config names.

    Args:
        topic: the last part of the topic: ``<topic_prefix>.<environment>.<modname>.<topic>``.
        msg: what JSON can hold.
        modname: the part before it; the calling module's name where it is left out.
        pre_fire_hook: called with the envelope just before it is sent; may change it.
        timeout: seconds this may take. (The config's own ``timeout`` is for stock's listeners.)
        config: goes over the global config if nothing was set up yet.

    Returns:
        What is known about it.

    Raises:
        NoRelayError: no relay took it in time; it was not sent.
        NotWellFormedError: it can not be sent as JSON that every listener takes.
        ConfigError: the global config can not be used, or names no relay.
    """
    with _publisher_lock:
        if _publisher is None or _publisher.inherited:
            init(**config)
        publisher = _publisher
    assert publisher is not None  # noqa: S101 -- for the type checker: init raises otherwise
    return publisher.publish(topic, msg, modname, pre_fire_hook, timeout)


def destroy() -> None:
    """Hand over what is queued and forget what :func:`init` set up.

    Raises:
        NoRelayError: the relay left before it had everything.
    """
    global _publisher
    with _publisher_lock:
        closing, _publisher = _publisher, None
    if closing is not None and not closing.inherited:
        closing.close()


@atexit.register
def _destroy_at_exit() -> None:
    """A script that just ends still hands over everything; it can only say so if that fails."""
    try:
        destroy()
    except NoRelayError as error:
        print(f"fedmsg_relay: {error}", file=sys.stderr)


def _calling_module() -> str:
    """Name the first top-level module up the stack that is not ours."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if name != "fedmsg_relay":
            return name
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "fedmsg"
