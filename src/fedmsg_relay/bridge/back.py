"""The way back: from a queue of the broker to submit, each message acknowledged after its receipt."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import pika

from fedmsg_relay.bridge.condition import Condition, State
from fedmsg_relay.bridge.connecting import Errors, Pause, explain, parameters, tries
from fedmsg_relay.bridge.ledger import Ledger, LedgerError
from fedmsg_relay.bridge.mapping import RELAY
from fedmsg_relay.bridge.reading import Reader
from fedmsg_relay.bridge.restoring import Bad, Delivery, restore
from fedmsg_relay.bridge.taking import Taken, batches
from fedmsg_relay.bridge.target import Target
from fedmsg_relay.errors import JournalError, NoRelayError, RelayError
from fedmsg_relay.journal.records import digest
from fedmsg_relay.network.address import parse
from fedmsg_relay.runtime.drops import DropLog
from fedmsg_relay.signing import Signer
from fedmsg_relay.submit import Refusal
from fedmsg_relay.submitter import SubmitConnection

WAIT_SECONDS = 0.02
"""Time without a further message after which those in hand are submitted."""

SUBMIT_SECONDS = 5.0
"""Maximum time of one try to submit: the broker hears of the bridge in between."""

HOLD_SECONDS = 900.0
"""Maximum time that messages are held while the relay does not take them. The broker takes them back after 30 min, and
counts how often."""

REFUSALS = 10
"""Messages in a row that the relay refuses and that are dropped; then the config is at fault."""

_COUNTERS = ("delivered", "taken", "own", "bad", "refused", "returned")


class Home(NamedTuple):
    """The relay of this host.

    Attributes:
        identity: of the relay.
        submit: address of its submit; empty if nothing comes back.
        signer: signs envelopes that are made here; None for unsigned ones.
    """

    identity: str
    submit: str
    signer: Signer | None


class _Held(NamedTuple):
    """A message to be submitted."""

    message: tuple[bytes, bytes]
    digest: bytes


class Back:
    """Submits what comes from a queue, whatever broker and relay do.

    Args:
        target: the broker.
        queue: its queue.
        home: the relay of this host.
        reader: reads its journal.
        ledger: remembers what came from AMQP; durable.

    Attributes:
        condition: what it does now.
        counters: by name.
        in_hand: messages that are taken from the queue and not acknowledged.
    """

    def __init__(self, target: Target, queue: str, home: Home, reader: Reader, ledger: Ledger) -> None:
        self.condition = Condition("back")
        self._target = target
        self._queue = queue
        self._home = home
        self._reader = reader
        self._ledger = ledger
        self._pause = Pause()
        self._stopping = threading.Event()
        self._drops = DropLog("back: dropped %d %s from AMQP: %s (last: %s)")
        self._refusals = 0
        self.in_hand = 0
        known = ledger.counters("back.")
        self.counters = {name: known.get(name, 0) for name in _COUNTERS}

    def stop(self) -> None:
        """Let :meth:`run` end; from any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Work until :meth:`stop`."""
        for url in tries(self._target, self.condition, self._pause, self._stopping):
            try:
                # First this: what is taken from a queue and given back counts against its delivery-limit.
                self._ask_relay()
                self._work_with(url)
            except (*Errors, RelayError) as error:
                self.condition.become(State.CONNECTING, explain(error))
            self.counters["returned"] += self.in_hand
            self.in_hand = 0
        self._drops.report(everything=True)
        self.condition.become(State.STOPPED)

    def _ask_relay(self) -> None:
        if (address := parse(self._home.submit)) is None:
            return
        try:
            socket.create_connection(address, SUBMIT_SECONDS).close()
        except OSError as error:
            raise NoRelayError(
                f"the relay does not answer at {self._home.submit}: {error.strerror or error}"
            ) from error

    def _work_with(self, url: str) -> None:
        """Work with one node for as long as it answers."""
        connection = pika.BlockingConnection(parameters(self._target, url, "back"))
        submits = SubmitConnection([self._home.submit], "the relay of this host")
        try:
            channel = connection.channel()
            for batch in batches(channel, self._queue, WAIT_SECONDS, self._stopping):
                if self.condition.state is not State.WORKING:
                    self.condition.become(State.WORKING)
                if batch:
                    self.in_hand += len(batch)
                    self.counters["delivered"] += len(batch)
                    self._pass_on(connection, submits, batch)
                    channel.basic_ack(batch[-1].method.delivery_tag, multiple=True)
                    self._pause.forget()
                self._drops.report()
                if self._stopping.is_set():
                    break
        finally:
            submits.close(0)
            if connection.is_open:
                connection.close()

    def _pass_on(self, connection: Any, submits: SubmitConnection, batch: Sequence[Taken]) -> None:
        """Bring a batch onto the relay's disk.

        Raises:
            RelayError: that was not possible for a long time, or the process is to end.
        """
        held = []
        counts = dict.fromkeys(("own", "bad"), 0)
        for method, properties, body in batch:
            headers = properties.headers or {}
            if headers.get(RELAY) == self._home.identity:
                counts["own"] += 1
                continue
            delivery = Delivery(method.routing_key, properties.message_id, headers, body)
            message = restore(delivery, properties.timestamp or 0, self._home.signer)
            if isinstance(message, Bad):
                counts["bad"] += 1
                self._drops.note(message, str(method.routing_key))
            else:
                held.append(_Held(message, digest(*message)))
        refused = self._submit_all(connection, submits, held)
        try:
            upto = self._reader.ends().last
        except JournalError:
            upto = None  # so the notes are kept
        counts |= {"taken": len(held) - len(refused), "refused": len(refused)}
        for name, count in counts.items():
            self.counters[name] += count
        self.in_hand -= len(batch)
        with self._ledger.transaction() as db:
            self._ledger.write_counters(db, "back.", self.counters)
            db.executemany("UPDATE noted SET upto = ? WHERE digest = ?", [(upto, each.digest) for each in held])
            db.executemany("DELETE FROM noted WHERE digest = ?", [(each.digest,) for each in refused])

    def _submit_all(self, connection: Any, submits: SubmitConnection, held: Sequence[_Held]) -> list[_Held]:
        """Submit messages.

        Returns:
            Those that the relay refused.
        """
        refused: list[_Held] = []
        if not held:
            return refused
        self._note(held)
        gives_up = time.monotonic() + HOLD_SECONDS
        rest, at_once = list(held), len(held)
        while rest:
            sent = submits.send([each.message for each in rest[:at_once]], SUBMIT_SECONDS)
            if sent.number:
                self._refusals = 0
                self.condition.become(State.WORKING)
            del rest[: sent.number]
            if sent.fault is None:
                continue
            fault = str(sent.fault)
            config = "source-not-allowed" in fault or (
                isinstance(sent.fault, NoRelayError) and Refusal.BATCH_TOO_LARGE not in fault
            )
            if not config and len(rest) > 1 and at_once > 1:
                at_once = 1  # one of them is at fault
            elif not config and self._refusals < REFUSALS:
                self._refusals += 1
                self._drops.note(Bad.REFUSED_BY_RELAY, fault)
                refused.append(rest.pop(0))
            else:
                self.condition.become(State.WAITING, fault)
                connection.process_data_events(0)  # signs of life
                if self._stopping.wait(1.0) or time.monotonic() > gives_up:
                    raise sent.fault
        return refused

    def _note(self, held: Sequence[_Held]) -> None:
        """Note what is from AMQP before it can be in the journal, so that it is never sent back."""
        while True:
            try:
                return self._ledger.note(each.digest for each in held)
            except LedgerError as error:
                self.condition.become(State.WAITING, str(error))
                if self._stopping.wait(1.0):
                    raise
