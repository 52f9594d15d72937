"""Publishes the messages of a script: over its connection to the relay, or into the spool.

This module is on the path of every one-off script: it imports only what that needs.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fedmsg_relay import config as global_config
from fedmsg_relay import spool
from fedmsg_relay.connection import Message, Sent
from fedmsg_relay.envelope import Json, encode, envelope
from fedmsg_relay.errors import ConfigError, NoRelayError, say
from fedmsg_relay.forks import setting_up

if TYPE_CHECKING:
    from fedmsg_relay.errors import RelayError
    from fedmsg_relay.inbound import InboundConnection
    from fedmsg_relay.signing import Signer
    from fedmsg_relay.submitter import SubmitConnection

DEFAULT_TIMEOUT = 10.0
"""Maximum time of a publish, from looking for the relay to sending the message."""

SPOOL_AFTER = 2.0
"""Time after which a message goes to the spool, if there is one: the script goes on, the message waits."""

LONGEST_TIMEOUT = 86400.0
"""Maximum of any timeout: ZeroMQ takes no more than 24 days."""


class Receipt(NamedTuple):
    """The receipt of a message that was published: where it went.

    Attributes:
        msg_id: of the message; empty if a hook took it away.
        topic: as it was sent.
        address: of the relay that took it; empty if it was spooled. Over inbound it means that a relay was subscribed
            and that the message was given to its connection. The relay has not confirmed it.
        seq: over submit, the number that the message has in the relay's journal, on disk. Of a batch, the last one's.
        spooled: the file that holds it, if no relay took it.
    """

    msg_id: str
    topic: str
    address: str
    seq: int | None = None
    spooled: str = ""


class Publisher:
    """The state that ``fedmsg.init`` sets up: a config and, from the first message on, a connection.

    Args:
        config: the merged global config, with whatever the caller changed in it.
        timeout: seconds that closing may take, and each publish that names none.
        reading: of the files that the config comes from; the last one where it is not given.

    Raises:
        ConfigError: the config names no relay, or wants messages signed and this user cannot sign.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        timeout: float = DEFAULT_TIMEOUT,
        reading: global_config.Reading | None = None,
    ) -> None:
        global_config.check(config)
        self._signer = signer(config)
        self.config = dict(config)
        self.reading = reading or global_config.last_reading
        # The relay may have moved: only then are the files read again.
        self._may_have_moved = reading is not None
        self._timeout = min(LONGEST_TIMEOUT, timeout)
        self._pid = os.getpid()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # held while the connection is used
        self._spool = spool.directory(config)
        self._connection = connection(config)

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
        receipts, fault = self.publish_all(topic, [msg], modname, pre_fire_hook, timeout)
        if fault is not None:
            raise fault
        return receipts[0]

    def publish_all(
        self,
        topic: str | None,
        msgs: Sequence[Any],
        modname: str | None,
        pre_fire_hook: Callable[[Json], None] | None = None,
        timeout: float | None = None,
    ) -> tuple[list[Receipt], RelayError | None]:
        """Send messages of one topic together, with one round trip where the relay gives receipts.

        Args:
            topic: as for :func:`publish`.
            msgs: what they say, in order.
            modname: as for :func:`publish`.
            pre_fire_hook: as for :func:`publish`.
            timeout: seconds for all of them.

        Returns:
            The receipts of the messages that were taken, which are the first; and why the others were not, as the error
            that :func:`publish` raises, or None if all were taken.

        Raises:
            RelayError: as for :func:`publish`; none of them was taken.
        """
        modname = modname or _calling_module()
        wrapped = [self._wrap(topic or "unspecified", msg or {}, modname, pre_fire_hook) for msg in msgs]
        messages = [encode(one) for one in wrapped]
        sent, files = self._send_or_spool(messages, self._timeout if timeout is None else timeout)
        taken = [(sent.address, sent.seq, "")] * sent.number + [("", None, file) for file in files]
        return [
            Receipt(one.get("msg_id", ""), one["topic"], *how) for one, how in zip(wrapped, taken, strict=False)
        ], sent.fault

    def close(self) -> None:
        """Send what is still queued, bounded by the timeout; see :meth:`InboundConnection.close`.

        Raises:
            NoRelayError: the relay left before it had everything, or other threads went on sending.
        """
        deadline = time.monotonic() + self._timeout
        if not self._lock.acquire(timeout=max(0.0, self._timeout)):
            raise NoRelayError(f"other threads of this script were sending for all of {self._timeout:.3g} s")
        try:
            self._connection.close(max(0.0, deadline - time.monotonic()))
        finally:
            self._lock.release()

    def _wrap(self, topic: str, msg: Any, modname: str, pre_fire_hook: Callable[[Json], None] | None) -> Json:
        """Make the envelope of a message, signed where the config wants it, also before the message is spooled."""
        one = envelope(self.config, next(self._numbers), topic, msg, modname)
        if self._signer:
            one = self._signer.sign(one)
        if pre_fire_hook:
            pre_fire_hook(one)
            if self._signer:  # the hook may have changed something; otherwise this makes the same signature
                one = self._signer.sign(one)
        return one

    def _send_or_spool(self, messages: Sequence[Message], timeout: float) -> tuple[Sent, list[str]]:
        """Give messages to a relay, and the others to the spool; return the files of these, too."""
        if not self._spool:
            return self._send(messages, timeout), []
        if self._earlier_are_spooled():
            # A message must not overtake messages that were sent when no relay was there.
            self._may_have_moved = True
            return Sent(0), spool.add(self._spool, messages)
        sent = self._send(messages, min(timeout, SPOOL_AFTER))
        if not isinstance(sent.fault, NoRelayError):
            return sent, []
        try:
            return sent._replace(fault=None), spool.add(self._spool, messages[sent.number :])
        except spool.SpoolError as fault:
            return sent._replace(fault=spool.SpoolError(f"{sent.fault}; {fault}")), []

    def _send(self, messages: Sequence[Message], timeout: float) -> Sent:
        """Send over the connection, which all threads share; waiting for the others is part of the time."""
        timeout = min(LONGEST_TIMEOUT, timeout)
        deadline = time.monotonic() + timeout
        if not self._lock.acquire(timeout=max(0.0, timeout)):
            others = f"other threads of this script were sending for all of {timeout:.3g} s"
            return Sent(0, fault=NoRelayError(f"{others}; not sent"))
        try:
            if self._may_have_moved:
                self._may_have_moved = False  # before looking: another thread may spool meanwhile
                self._follow_relay(deadline)
            sent = self._connection.send(messages, deadline - time.monotonic())
            if isinstance(sent.fault, NoRelayError):
                self._may_have_moved = True
            return sent
        finally:
            self._lock.release()

    def _follow_relay(self, deadline: float) -> None:
        """Go where the global config says today that the relay is: there the spool is delivered to as well.

        Messages that were spooled while the old relay was gone must not be overtaken through it, once it is back.
        """
        try:
            with setting_up:
                from fedmsg_relay.relocation import read_again  # noqa: PLC0415 -- seldom needed

                config, reading = read_again(self.config, self.reading)
            if config == self.config:
                return
            global_config.check(config)
            moved = connection(config)
        except ConfigError:
            self._may_have_moved = True  # it may be half written: the previous address serves until it can be read
            return
        old, self._connection = self._connection, moved
        self.config, self.reading = config, reading
        try:
            old.close(max(0.1, min(SPOOL_AFTER / 2, (deadline - time.monotonic()) / 2)))
        except NoRelayError as error:
            say(f"fedmsg_relay: {error}")

    def _earlier_are_spooled(self) -> bool:
        try:
            return spool.others_before(self._spool)
        except OSError as error:
            raise spool.SpoolError(f"the spool {self._spool} cannot be read: {error.strerror}; not sent") from error


def connection(config: Mapping[str, Any]) -> InboundConnection | SubmitConnection:
    """Get a connection to submit where the config names it, which gives receipts; else to inbound.

    Args:
        config: the merged global config.

    Returns:
        The connection; nothing is connected before the first message.

    Raises:
        ConfigError: the config names no relay.
    """
    io_threads = config.get("io_threads") or 1
    sources = global_config.sources(config)
    if config.get("relay_submit"):
        with setting_up:
            from fedmsg_relay.submitter import SubmitConnection  # noqa: PLC0415 -- only where it is used

        addresses = global_config.addresses(config, "relay_submit")
        return SubmitConnection(addresses, f"relay_submit of {sources}", io_threads)
    with setting_up:
        from fedmsg_relay.inbound import InboundConnection  # noqa: PLC0415 -- only where it is used

    addresses = global_config.addresses(config, "relay_inbound")
    high_water_mark = config.get("high_water_mark") or 0
    return InboundConnection(addresses, f"relay_inbound of {sources}", io_threads, high_water_mark)


def signer(config: Mapping[str, Any]) -> Signer | None:
    """Get what signs the messages of a config.

    Args:
        config: the merged global config, with ``cert_prefix`` or ``name`` of the caller in it.

    Returns:
        The signer; None where the config does not want messages signed.

    Raises:
        ConfigError: it does, and this user cannot sign.
    """
    if not config.get("sign_messages"):
        return None
    with setting_up:
        from fedmsg_relay import signing  # noqa: PLC0415 -- only where messages are signed

        return signing.signer(config)


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
