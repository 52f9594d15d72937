"""The relay: its sockets, its loop, its signals. What happens to a message: :mod:`fedmsg_relay.daemon.pipeline`."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import zmq

from fedmsg_relay import __version__
from fedmsg_relay.chain.upstream import Link
from fedmsg_relay.daemon import addresses
from fedmsg_relay.daemon.forwarding import ForwardingStage
from fedmsg_relay.daemon.hold import Hold
from fedmsg_relay.daemon.pipeline import Pipeline
from fedmsg_relay.daemon.publishing import PublishingStage
from fedmsg_relay.daemon.settings import Settings
from fedmsg_relay.daemon.stage import Stage
from fedmsg_relay.errors import ConfigError, RelayError
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.network import zmtp
from fedmsg_relay.network.health import Health
from fedmsg_relay.network.outbound import Outbound
from fedmsg_relay.network.receiver import Receiver
from fedmsg_relay.runtime import limits, paths, threads
from fedmsg_relay.runtime import log as logfile
from fedmsg_relay.runtime.log import log
from fedmsg_relay.runtime.systemd import Notifier

DRAIN_SECONDS = 10.0
"""How long a stop waits at most for publishers' last bytes while nothing comes, and for those that send faster than it
takes in to pause; and again for an upstream."""

LONGEST_DRAIN_SECONDS = 50.0
"""How long a stop takes in at most what comes at inbound.

The unit's TimeoutStopSec leaves room for this, the two below and an upstream.
"""

LINGER_SECONDS = 10.0
"""How long listeners have at most, at the end, to take what is queued for them."""

ANSWER_SECONDS = 2.0
"""The same for submitters and their answers."""

ABANDON_SECONDS = 1.0
"""How long what is dropped at the end is counted at most."""

QUIET_SECONDS = 0.1
"""How long a stop waits at most for the end of a publisher's burst."""

UNSETTLED_MILLISECONDS = 20
"""How long the loop sleeps at most while publishing waits for listeners, or for what it published to be written."""

TURN_MILLISECONDS = 1000
"""How long the loop sleeps at most."""

LOOK_SECONDS = 1.0
"""How often at most it is noted who listens."""


class Relay:
    """A relay whose outbound is bound and whose journal is open; inbound and submit are bound when it runs.

    So whatever may keep it from starting does so before anybody hands it a message.

    Args:
        plans: what to bind.
        upstream: submit and outbound of each relay that this one is chained to.
        settings: the daemon's own settings.
        reload: reads the settings anew, for SIGHUP; may raise ConfigError.

    Raises:
        RelayError: outbound could not be bound, or another relay works in the state directory; it says which and why.
    """

    def __init__(
        self,
        plans: addresses.Plans,
        upstream: Sequence[tuple[str, str]],
        settings: Settings,
        reload: Callable[[], Settings],
    ) -> None:
        self.notifier = Notifier()
        self.started = time.time()
        self.turned = self.born = time.monotonic()
        """When the loop last came round, for the status."""
        self._settings = settings
        self._reload = reload
        self._stop: str | None = None
        self._signals: list[int] = []
        self._wakeup = self._catch_signals()
        self._plans = plans
        self._closed = False
        log.info("start version=%s pid=%d", __version__, os.getpid())
        self.addresses = {name: list(plan.bind) for name, plan in plans.endpoints().items()}
        self.named = {name: [*plan.bind, *plan.covered] for name, plan in plans.endpoints().items()}
        """Those that a wildcard covers as well: who uses which is told for each."""
        self.outbound = Outbound(linger=LINGER_SECONDS)
        self.inbound = Receiver("publisher", zmtp.SUB, streams=True)
        self.submits = Receiver("submitter", zmtp.ROUTER, streams=False)
        self.peers = (self.inbound, self.submits, self.outbound.listeners)
        self.forwarding: ForwardingStage | None = None
        """The stage of a relay that is chained."""
        self.health: Health | None = None
        """Looks at what is bound, once all is."""
        self._poller = zmq.Poller()
        self._waking: set[socket.socket] = set()
        self._next_look = 0.0
        self._changes = -1
        try:
            self._bind(self.outbound.bind, "outbound", plans.outbound)
            state = paths.state()
            self._lock = paths.lock(state)
            self.guard = JournalGuard(state / "journal.db")
        except RelayError:
            self.close()
            raise
        self._remembered = self.guard.listeners
        self.hold = Hold(self.outbound, self.guard.listeners)
        identity = paths.identity(state)
        largest = limits.cut_bytes(settings.limits.max_message_size)
        links = [Link(identity, *addresses, largest) for addresses in upstream]
        if links:
            self.forwarding = ForwardingStage(identity, self.guard, self.outbound, self.hold, links)
        self._stage: Stage = self.forwarding or PublishingStage(identity, self.guard, self.outbound, self.hold)
        self.pipeline = Pipeline(self.inbound, self.submits, self.guard, self._stage, settings)

    def run(self) -> None:
        """Relay until SIGTERM or SIGINT, also if it came during the start; then drain and close.

        Raises:
            RelayError: an address could not be bound; it says which and why.
        """
        # Inbound last: its publishers get no receipt, so what they send is lost where anything still fails.
        self._bind(self.submits.bind, "submit", self._plans.submit)
        self._bind(self.inbound.bind, "inbound", self._plans.inbound)
        for source in (self.inbound, self.submits, self.outbound.socket, self._wakeup):
            self._poller.register(source, zmq.POLLIN)
        self.health = Health(self.addresses)
        self.notifier.tell(READY="1", STATUS="relaying")
        longest = min(TURN_MILLISECONDS, int(self.notifier.watchdog_interval * 1000) or TURN_MILLISECONDS)
        more = True
        while self._stop is None:
            if self.health.well and not threads.dead():
                self.notifier.sign_of_life()
            ready = dict(self._wait(0 if more else longest if self.pipeline.settled else UNSETTLED_MILLISECONDS))
            if self._wakeup.fileno() in ready:
                self._wakeup.recv(4096)
                self._handle_signals()
            more = self._turn()
        self._drain()
        totals = self.pipeline.accounting.totals()
        log.info(
            "stop received=%d published=%d dropped=%d journaled=%d quarantined=%d refused=%d duplicates=%d "
            "unjournaled=%d carried=%d waiting=%d damaged=%d (%s)",
            totals.received,
            totals.published + totals.unjournaled,
            totals.quarantined + totals.refused,
            totals.journaled,
            totals.quarantined,
            totals.refused,
            totals.duplicates,
            totals.unjournaled,
            totals.carried,
            totals.waiting,
            totals.damaged,
            self._stop,
        )

    def _wait(self, milliseconds: int) -> list[tuple[Any, int]]:
        """Sleep until something comes."""
        if self._stage.waking != self._waking:
            for gone in self._waking - self._stage.waking:
                self._poller.unregister(gone)
            for new in self._stage.waking - self._waking:
                self._poller.register(new, zmq.POLLIN)
            self._waking = set(self._stage.waking)
        return self._poller.poll(milliseconds)

    def _turn(self) -> bool:
        """See to the peers and take one batch through the pipeline; return whether there is more to do at once."""
        self.turned = time.monotonic()
        self.outbound.update()
        if self.turned >= self._next_look:
            self._remember_listeners()
        return self.pipeline.turn()

    def _remember_listeners(self) -> None:
        """Who listens now is waited for at the next start; who is waited for now still is."""
        changes = self.outbound.listeners.accepted + self.outbound.listeners.closed + self.outbound.subscriptions
        if changes == self._changes or self.hold.on:
            return
        hosts = sorted(self.outbound.hosts())
        if hosts != self._remembered:
            self._next_look = self.turned + LOOK_SECONDS
            if not self.guard.remember_listeners(hosts):
                return
            self._remembered = hosts
        self._changes = changes

    # Stopping.

    def _drain(self) -> None:
        """Take in what publishers have sent, publish it, and close.

        Let nobody new in first. Then half-close: a publisher that reads end of file closes in turn, and keeps for the
        next relay what it had not yet written; all that it had written is ours to publish.
        """
        if self.health:
            self.health.close()  # nobody new is let in from here on, not even a look
        self.notifier.tell(STOPPING="1", STATUS="draining")
        self._remember_listeners()
        started = heard = now = time.monotonic()
        more = True
        while now < started + LONGEST_DRAIN_SECONDS:
            # Again and again: of a door just opened, and of who was let in when it was closed, is known a little later.
            self.inbound.keep_out_newcomers()
            self.submits.keep_out_newcomers()
            self.inbound.half_close(only_quiet=now < started + QUIET_SECONDS)
            connected = self.inbound.addresses
            silent = now >= heard + DRAIN_SECONDS
            if self.inbound.wait(0 if more and not silent else 0.01):
                heard = now
            elif silent or not (more or connected or self.inbound.addresses):
                break
            more = self._turn()
            self.notifier.sign_of_life()
            now = time.monotonic()
        if self.inbound.addresses:
            log.warning("did not close within %.0f s: %s", now - started, ", ".join(self.inbound.addresses))
        deadline = now + DRAIN_SECONDS
        more = self._turn()
        while not self._stage.finished and time.monotonic() < deadline:
            self._wait(0 if more else UNSETTLED_MILLISECONDS)
            more = self._turn()
            self.notifier.sign_of_life()
        if abandoned := self.inbound.abandon(ABANDON_SECONDS):
            log.error("stopped while more came in at inbound: dropped %d messages, or more, unread", abandoned)
        self.pipeline.close()
        self.close()
        self.guard.close()  # knowing that all is out

    def close(self) -> None:
        """Close all sockets; outbound lingers until listeners have taken what is queued for them, within its bound."""
        if self._closed:
            return
        self._closed = True
        if self.health:
            self.health.close()
        if self.forwarding is not None:
            self.forwarding.close()
        self.inbound.close()
        self.submits.close(linger=ANSWER_SECONDS)
        self.outbound.close()

    # Setting up.

    def _bind(self, open_at: Callable[[str], None], endpoint: str, plan: addresses.Plan) -> None:
        for address in plan.foreign:
            log.info("left out %s %s: not an address of this host", endpoint, address)
        for address in plan.bind:
            try:
                open_at(address)
            except OSError as error:
                raise RelayError(f"can not bind {endpoint} {address}: {os.strerror(error.errno or 0)}") from error
            log.info("bound %s %s", endpoint, address)

    def _catch_signals(self) -> socket.socket:
        """Let signals wake the loop, which handles them between two batches, and the first ones when it begins."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._waker = writer  # kept open for as long as the relay is

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
        """On SIGHUP: limits and retention change at once, addresses with a restart; what is invalid changes nothing."""
        self.notifier.reloading()
        try:
            new = self._reload()
        except ConfigError as error:
            log.error("not reloaded, the settings stay as they were: %s", error)
        else:
            fixed = [name for name in ("bind", "upstream") if getattr(new, name) != getattr(self._settings, name)]
            restart = f" ({' and '.join(fixed)} changed: needs a restart)" if fixed else ""
            self._settings = self.pipeline.settings = new
            log.info(
                "reloaded max_message_size=%d keep_days=%g keep_bytes=%d%s",
                new.limits.max_message_size,
                new.journal.keep_days,
                new.journal.keep_bytes,
                restart,
            )
        self.notifier.tell(READY="1")


def name_process() -> None:
    """Be ``fedmsg-relay`` in the process list, whatever started us: Nagios looks for that name."""
    Path("/proc/self/comm").write_text("fedmsg-relay", encoding="ascii")
