"""The relay: its sockets, its loop, its start and its stop. What happens to a message: :mod:`.pipeline`."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from fedmsg_relay.chain.link import Link
from fedmsg_relay.chain.links import Links
from fedmsg_relay.daemon import addresses, drain
from fedmsg_relay.daemon.admission import Admission
from fedmsg_relay.daemon.chained import ChainedStage
from fedmsg_relay.daemon.checks import Checks
from fedmsg_relay.daemon.forwarding import ForwardingStage
from fedmsg_relay.daemon.listener_wait import ListenerNote, ListenerWait
from fedmsg_relay.daemon.pipeline import Pipeline
from fedmsg_relay.daemon.publishing import PublishingStage
from fedmsg_relay.daemon.reload import Read, Reload, log_outcome
from fedmsg_relay.daemon.screening import Screening
from fedmsg_relay.daemon.settings import Settings
from fedmsg_relay.daemon.signals import Signals
from fedmsg_relay.daemon.stage import Stage
from fedmsg_relay.daemon.wakeup import Wakeup
from fedmsg_relay.errors import ConfigError, JournalError, RelayError
from fedmsg_relay.journal import schema
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.network import handshake
from fedmsg_relay.network.health import Health
from fedmsg_relay.network.outbound import Outbound
from fedmsg_relay.network.receiver import Receiver
from fedmsg_relay.runtime import limits, paths, process, threads
from fedmsg_relay.runtime import log as logfile
from fedmsg_relay.runtime.log import log
from fedmsg_relay.runtime.systemd import Notifier

SHORT_SLEEP_MILLISECONDS = 20
"""Maximum sleep of the loop while publishing waits for listeners or published messages are to be noted, and while
settings are read anew."""

LONG_SLEEP_MILLISECONDS = 1000
"""Maximum sleep of the loop."""

GARBAGE_OBJECTS = 100_000
"""Objects that are made, and still there, before Python looks for garbage that refers to itself: the messages of a turn
are many objects, and none of them is such garbage."""

CONVERSION_SECONDS = 3600
"""Maximum time that systemd waits for a start that converts the journal first."""


class Relay:
    """A relay whose outbound is bound and whose journal is open. Inbound and submit are bound when it runs.

    So anything that keeps it from starting does so before a client hands it a message.

    Args:
        plans: what to bind.
        upstream: submit and outbound of each relay that this one is chained to.
        settings: the daemon's own settings.
        checks: what is done about signatures.
        reload: reads both anew, for SIGHUP; may raise ConfigError.

    Attributes:
        turned: when the loop last came round, by ``time.monotonic``.
        addresses: addresses that are bound, by endpoint.
        named: the same, and the addresses that a wildcard takes in as well: the status tells which peers use each.
        chained: the stage of a relay that its settings chain to another one.
        health: checks the bound endpoints, once all are.
        screening: of signatures.
        sources: the IP addresses that messages come from.

    Raises:
        RelayError: outbound cannot be bound, or another relay works in the state directory; it says which and why.
    """

    def __init__(
        self,
        plans: addresses.Plans,
        upstream: Sequence[tuple[str, str]],
        settings: Settings,
        checks: Checks,
        reload: Read,
    ) -> None:
        self.notifier = Notifier()
        self.started = time.time()
        self.turned = self.born = time.monotonic()
        self._settings = settings
        self._reload = Reload(reload)
        self._stop: str | None = None
        self._signals = Signals()
        self._plans = plans
        self._closed = False
        log.info("start version=%s pid=%d", process.version(), os.getpid())
        self.addresses = {name: list(plan.local) for name, plan in plans.endpoints().items()}
        self.named = {name: [*plan.local, *plan.covered] for name, plan in plans.endpoints().items()}
        self.outbound = Outbound(linger=drain.LINGER_SECONDS)
        self.inbound = Receiver("publisher", handshake.SUB, streams=True)
        self.submits = Receiver("submitter", handshake.ROUTER, streams=False)
        self.chained: ChainedStage | None = None
        self.health: Health | None = None
        self._wakeup = Wakeup()
        try:
            self._bind(self.outbound.bind, "outbound", plans.outbound)
            state = paths.state()
            try:
                self._lock = paths.lock(state)
            except JournalError as error:  # messages of inbound are forwarded all the same
                log.error("%s", error)
            journal = state / "journal.db"
            if schema.needs_conversion(journal):  # with millions of messages that takes a minute
                self.notifier.tell(STATUS="converting the journal", EXTEND_TIMEOUT_USEC=str(CONVERSION_SECONDS * 10**6))
            self.guard = JournalGuard(journal)
        except RelayError:
            self.close()
            raise
        self.listener_wait = ListenerWait(self.outbound, self.guard.listeners)
        self._listener_note = ListenerNote(self.guard, self.outbound, self.listener_wait)
        identity = paths.identity(state)
        largest = limits.cut_bytes(settings.limits.max_message_size)
        links = [Link(identity, *addresses, largest) for addresses in upstream]
        if links:
            self.chained = ChainedStage(identity, self.guard, self.outbound, self.listener_wait, Links(links))
        self._stage: Stage = self.chained or PublishingStage(identity, self.guard, self.outbound, self.listener_wait)
        self.screening = Screening(checks)
        admission = Admission(self.inbound, self.submits, self.guard, self._stage, self.screening)
        self.sources = admission.sources
        self.pipeline = Pipeline(admission, self.submits, self.guard, self._stage, settings)

    @property
    def forwarding(self) -> ForwardingStage | None:
        """The stage that forwards; None in a relay that publishes by itself."""
        return self.chained.forwarding if self.chained is not None else None

    def run(self) -> None:
        """Relay until SIGTERM or SIGINT. A signal that came during the start counts as well.

        Raises:
            RelayError: an address cannot be bound; it says which and why.
        """
        gc.freeze()
        gc.set_threshold(GARBAGE_OBJECTS)
        self._start()
        self._loop()
        self._drain()
        self._report()

    def close(self) -> None:
        """Close all sockets; outbound lingers, within its bound, until listeners have taken what is queued for them."""
        if self._closed:
            return
        self._closed = True
        if self.health:
            self.health.close()
        if self.chained is not None:
            self.chained.close()
        self.inbound.close()
        self.submits.close(linger=drain.ANSWER_SECONDS)
        self.outbound.close()

    # Start.

    def _start(self) -> None:
        # Inbound last: its publishers get no receipt, so what they send is lost where anything still fails.
        self._bind(self.submits.bind, "submit", self._plans.submit)
        self._bind(self.inbound.bind, "inbound", self._plans.inbound)
        for source in (self.inbound, self.submits, self.outbound.socket, self._signals.wakeup_socket):
            self._wakeup.add(source)
        self.health = Health(self.addresses)
        self.notifier.tell(READY="1", STATUS="relaying")

    def _bind(self, open_at: Callable[[str], None], endpoint: str, plan: addresses.Plan) -> None:
        for address in plan.foreign:
            log.info("not bound: %s %s is not an address of this host", endpoint, address)
        for address in plan.local:
            try:
                open_at(address)
            except OSError as error:
                raise RelayError(f"cannot bind {endpoint} {address}: {os.strerror(error.errno or 0)}") from error
            log.info("bound %s %s", endpoint, address)

    # Loop.

    def _loop(self) -> None:
        longest = min(LONG_SLEEP_MILLISECONDS, int(self.notifier.watchdog_interval * 1000) or LONG_SLEEP_MILLISECONDS)
        more = True
        while self._stop is None:
            if self.health and self.health.well and not threads.dead():
                self.notifier.sign_of_life()
            idle = self.pipeline.idle and not self._reload.at_work
            self._wait(0 if more else longest if idle else SHORT_SLEEP_MILLISECONDS)
            more = self._turn()

    def _wait(self, milliseconds: int) -> None:
        """Sleep until something comes; handle signals."""
        if self._signals.wakeup_socket.fileno() in self._wakeup.wait(milliseconds, self._stage.wakeup_sockets):
            self._handle_signals()

    def _turn(self) -> bool:
        """See to the peers and take one turn of the pipeline; return whether there is more to do at once."""
        self.turned = time.monotonic()
        self._take_new_settings()
        self.outbound.update()
        self._listener_note.update()
        return self.pipeline.turn()

    def _handle_signals(self) -> None:
        for caught in self._signals.take():
            if caught in {signal.SIGTERM, signal.SIGINT}:
                self._stop = caught.name
            elif caught == signal.SIGUSR1:
                logfile.reopen()
            elif caught == signal.SIGHUP:
                self.notifier.reloading()
                self._reload.ask()

    def _take_new_settings(self) -> None:
        """Change limits, retention and trust at once; addresses need a restart, and what is invalid changes nothing."""
        if (outcome := self._reload.take()) is None:
            return
        if isinstance(outcome, ConfigError):
            log.error("not reloaded, the settings stay as they were: %s", outcome)
        else:
            new, checks = outcome
            previous = self._settings
            if self.chained is not None and self.chained.unchained_from and new.upstream is None:
                self.chained.unchained_from = []  # to publish by itself is what it now shall do
                previous = replace(previous, upstream=None)
            log_outcome(new, previous)
            self._settings = self.pipeline.settings = new
            if self.forwarding is not None:
                self.forwarding.links.limit(limits.cut_bytes(new.limits.max_message_size))
            self.screening.use(checks)
        self.notifier.tell(READY="1")

    # Drain.

    def _drain(self) -> None:
        """Take in what publishers have sent, send it on, and close."""
        if self.health:
            self.health.close()  # no new connection is let in from here on, and this would make some
        self.notifier.tell(STOPPING="1", STATUS="draining")
        self._listener_note.write()
        self.pipeline.releases.stop()
        drain.take_in_rest(self.inbound, self.submits, self._turn, self.notifier.sign_of_life)
        self._finish_stage()
        drain.abandon(self.inbound)
        self.pipeline.close()
        self.close()
        self.guard.close()  # after outbound: now everything is out

    def _finish_stage(self) -> None:
        """Wait, within a bound, until everything is sent to listeners or to an upstream."""
        deadline = time.monotonic() + drain.DRAIN_SECONDS
        more = self._turn()
        while not self._stage.ready_to_stop and time.monotonic() < deadline:
            self._wait(0 if more else SHORT_SLEEP_MILLISECONDS)
            more = self._turn()
            self.notifier.sign_of_life()

    # Report.

    def _report(self) -> None:
        log.info("stop %s (%s)", self.pipeline.accounting.totals().describe(), self._stop)
