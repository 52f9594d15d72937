"""The relay: what comes in at inbound goes out at outbound, byte for byte, in batches.

One loop, one pipeline, in this order and no other:

    receive -> admit -> publish

Invariants:

1. What is published is exactly what was received: the same two frames, never re-encoded.
2. Every message received is published or dropped for a reason of :class:`fedmsg_relay.message.Reason`, and counted.
3. Messages of one publisher are published in the order in which they came.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import zmq

from fedmsg_relay import __version__, bind, message, peers
from fedmsg_relay import log as logfile
from fedmsg_relay.accounting import Accounting
from fedmsg_relay.drops import DropLog
from fedmsg_relay.errors import ConfigError, RelayError
from fedmsg_relay.log import log
from fedmsg_relay.message import Reason
from fedmsg_relay.settings import Settings
from fedmsg_relay.systemd import Notifier

BATCH_MESSAGES = 1000
"""Messages a batch takes at most, so that peers, signals and the watchdog are seen to between two batches."""

BATCH_BYTES = 16 * 1024 * 1024
"""Bytes after which a batch takes no further message."""

RECEIVE_QUEUE = 10_000
"""Messages libzmq keeps for each publisher when we are busy; beyond it TCP holds the publisher back."""

SEND_QUEUE = 10_000
"""Messages libzmq keeps for each listener that is slow; beyond it that listener loses, the others do not."""

SIZE_HEADROOM = 4
MIN_CUT_BYTES = 64 * 1024 * 1024
"""libzmq's MAXMSGSIZE: this multiple of our limit, or these bytes if they are more.

libzmq cuts the connection of whoever sends more, in silence and with all that was queued behind it. Up to there a
message is taken in and dropped with its reason; only what is larger still is worth the cut.
"""

DRAIN_SECONDS = 10.0
"""How long a stop waits at most for publishers' last bytes, and again for listeners to take theirs."""

TURN_MILLISECONDS = 1000
"""How long the loop sleeps at most."""


class Received(NamedTuple):
    """One message as it came: its frames (at most three are kept), and libzmq's first, which knows the publisher."""

    frames: list[bytes]
    first: zmq.Frame

    @property
    def source(self) -> str:
        """The publisher's IP address."""
        try:
            return str(self.first.get("Peer-Address"))
        except zmq.ZMQError:
            return "unknown"  # over ipc, and of peers that speak ZMTP 1, libzmq does not say it


class Relay:
    """A relay with its sockets bound.

    Args:
        plans: what to bind.
        settings: the daemon's own settings.
        reload: reads the settings anew, for SIGHUP; may raise ConfigError.

    Raises:
        RelayError: an address could not be bound; it says which and why.
    """

    def __init__(self, plans: bind.Plans, settings: Settings, reload: Callable[[], Settings]) -> None:
        self.accounting = Accounting()
        self.notifier = Notifier()
        self.started = time.time()
        self.turned = time.monotonic()
        """When the loop last came round, for the status."""
        self._settings = settings
        self._reload = reload
        self._stop: str | None = None
        self._drops = DropLog()
        self._signals: list[int] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._cut = _cut(settings)
        log.info("start version=%s pid=%d", __version__, os.getpid())
        self.outbound_addresses = list(plans.outbound.bind)
        self.inbound_addresses = list(plans.inbound.bind)
        self._outbound = self._socket(zmq.PUB, SNDHWM=SEND_QUEUE, MAXMSGSIZE=65536, LINGER=int(DRAIN_SECONDS * 1000))
        self._inbound = self._socket(
            zmq.SUB,
            RCVHWM=RECEIVE_QUEUE,
            MAXMSGSIZE=self._cut,
            LINGER=0,
        )
        self._inbound.subscribe(b"")
        self.listeners = peers.Peers(self._outbound, "listener")
        self.publishers = peers.Peers(self._inbound, "publisher")
        try:
            # Outbound first: whoever finds inbound open shall also be heard.
            self._bind(self._outbound, "outbound", plans.outbound)
            self._bind(self._inbound, "inbound", plans.inbound)
        except RelayError:
            self.close()
            raise

    def run(self) -> None:
        """Relay until SIGTERM or SIGINT, then drain and close."""
        wakeup = self._catch_signals()
        poller = zmq.Poller()
        for source in (self._inbound, wakeup):
            poller.register(source, zmq.POLLIN)
        self.notifier.tell(READY="1", STATUS="relaying")
        longest = min(TURN_MILLISECONDS, int(self.notifier.watchdog_interval * 1000) or TURN_MILLISECONDS)
        while self._stop is None:
            self.notifier.sign_of_life()
            ready = dict(poller.poll(longest))
            if wakeup.fileno() in ready:
                wakeup.recv(4096)
                self._handle_signals()
            self._turn()
        self._drain()
        totals = self.accounting.totals()
        log.info(
            "stop received=%d published=%d dropped=%d (%s)",
            totals.received,
            totals.published,
            sum(totals.dropped.values()),
            self._stop,
        )

    def _turn(self) -> int:
        """Take one batch through the pipeline; return how many messages it had."""
        self.turned = time.monotonic()
        batch = self._receive()
        if batch:
            admitted, dropped = self._admit(batch)
            self._publish(admitted)
            self.accounting.add(len(batch), len(admitted), dropped)
        self._drops.report()
        return len(batch)

    # The stages.

    def _receive(self) -> list[Received]:
        """Take what has arrived, at most a batch, without waiting."""
        batch: list[Received] = []
        size = 0
        receive = self._inbound.recv
        while len(batch) < BATCH_MESSAGES and size < BATCH_BYTES:
            try:
                first = frame = receive(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                break
            frames = [frame.bytes]
            while frame.more:
                frame = receive(copy=False)
                if len(frames) < 3:
                    frames.append(frame.bytes)
            size += sum(map(len, frames))
            batch.append(Received(frames, first))
        return batch

    def _admit(self, batch: list[Received]) -> tuple[list[list[bytes]], Counter[Reason]]:
        """Part the well-formed messages from those that a listener must not see."""
        admitted: list[list[bytes]] = []
        dropped: Counter[Reason] = Counter()
        max_size = self._settings.limits.max_message_size
        for received in batch:
            frames = received.frames
            reason = message.fault(frames[0], frames[1], max_size) if len(frames) == 2 else Reason.FRAME_COUNT
            if reason is None:
                admitted.append(frames)
            else:
                dropped[reason] += 1
                self._drops.note(reason, received.source)
        return admitted, dropped

    def _publish(self, admitted: list[list[bytes]]) -> None:
        """Hand the messages to every listener."""
        send = self._outbound.send
        for topic, body in admitted:
            send(topic, zmq.SNDMORE)
            send(body)

    # Stopping.

    def _drain(self) -> None:
        """Take in what publishers have sent, publish it, and close.

        Let nobody new in first. Then half-close: a publisher that reads end of file closes in turn, and keeps for the
        next relay what it had not yet written; all that it had written is ours to publish.
        """
        self.notifier.tell(STOPPING="1", STATUS="draining")
        deadline = time.monotonic() + DRAIN_SECONDS
        self.publishers.keep_out_newcomers()
        while time.monotonic() < deadline:
            # Again and again: who was just let in when the door was closed is known only a little later.
            self.publishers.half_close()
            connected = self.publishers.addresses
            if not self._inbound.poll(10) and not connected and not self.publishers.addresses:
                break
            self._turn()
            self.notifier.sign_of_life()
        if self.publishers.addresses:
            log.warning("did not close within %.0f s: %s", DRAIN_SECONDS, ", ".join(self.publishers.addresses))
        self._turn()
        self._drops.report(everything=True)
        self.close()

    def close(self) -> None:
        """Close all sockets; outbound lingers until listeners have taken what is queued for them, within its bound."""
        if self._context.closed:
            return
        for watched in (self.publishers, self.listeners):
            watched.close()
        self._inbound.close()
        self._outbound.close()
        self._context.term()

    # Setting up.

    def _socket(self, kind: int, **options: int) -> zmq.Socket[bytes]:
        opened = self._context.socket(kind)
        common = {
            "IPV6": 1,
            "BACKLOG": 4096,
            "TCP_KEEPALIVE": 1,
            "TCP_KEEPALIVE_IDLE": 60,
            "TCP_KEEPALIVE_INTVL": 20,
        }
        for name, value in {**common, **options}.items():
            opened.setsockopt(getattr(zmq, name), value)
        return opened

    def _bind(self, unbound: zmq.Socket[bytes], endpoint: str, plan: bind.Plan) -> None:
        for address in plan.foreign:
            log.info("left out %s %s: not an address of this host", endpoint, address)
        for address in plan.bind:
            try:
                unbound.bind(address)
            except zmq.ZMQError as error:
                raise RelayError(f"can not bind {endpoint} {address}: {os.strerror(error.errno or 0)}") from error
            log.info("bound %s %s", endpoint, address)

    def _catch_signals(self) -> socket.socket:
        """Let signals wake the loop, which handles them between two batches."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._wakeup = writer  # kept open for as long as the relay is

        def note(number: int, _frame: FrameType | None) -> None:
            self._signals.append(number)

        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, note)
        return reader

    def _handle_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number in {signal.SIGTERM, signal.SIGINT}:
                self._stop = signal.Signals(number).name
            elif number == signal.SIGUSR1:
                logfile.reopen()
            elif number == signal.SIGHUP:
                self._take_new_settings()

    def _take_new_settings(self) -> None:
        """On SIGHUP: limits change at once, addresses only with a restart; what is invalid changes nothing."""
        self.notifier.reloading()
        try:
            new = self._reload()
        except ConfigError as error:
            log.error("not reloaded, the settings stay as they were: %s", error)
        else:
            restart = " (bind changed: needs a restart)" if new.bind != self._settings.bind else ""
            if new.limits.max_message_size > self._cut:
                restart += f" (libzmq cuts off above {self._cut} bytes: needs a restart)"
            self._settings = new
            log.info("reloaded max_message_size=%d%s", new.limits.max_message_size, restart)
        self.notifier.tell(READY="1")


def _cut(settings: Settings) -> int:
    return max(MIN_CUT_BYTES, SIZE_HEADROOM * settings.limits.max_message_size)


def name_process() -> None:
    """Be ``fedmsg-relay`` in the process list, whatever started us: Nagios looks for that name."""
    Path("/proc/self/comm").write_text("fedmsg-relay", encoding="ascii")
