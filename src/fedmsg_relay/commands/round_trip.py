"""The round trip of a real message, in at inbound and out at outbound: the only proof that a relay relays."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import zmq

from fedmsg_relay.envelope import encode, envelope
from fedmsg_relay.errors import ConfigError, NoRelayError
from fedmsg_relay.hostnames import Lookup
from fedmsg_relay.inbound import InboundConnection
from fedmsg_relay.publisher import LONGEST_TIMEOUT

RETRY_SECONDS = 0.25
"""Time without an answer after which the probe is sent again: a subscription may still have been on its way."""

MODNAME, TOPIC = "relay", "probe"
"""Listeners see the probe as ``<topic_prefix>.<environment>.relay.probe``."""


@dataclass(frozen=True)
class Leg:
    """The outcome of the probe that went in at one inbound.

    Attributes:
        inbound: where it went in.
        heard: the outbounds it came out of, with the milliseconds it took.
        missing: the outbounds it did not come out of.
        error: why it did not go in, if it did not.
    """

    inbound: str
    heard: dict[str, float]
    missing: list[str]
    error: str = ""


@dataclass(frozen=True)
class Result:
    """A probe's outcome.

    Attributes:
        legs: of each inbound.
        seconds: it took.
        unresolved: outbounds whose name did not resolve, and why.
    """

    legs: list[Leg]
    seconds: float
    unresolved: dict[str, str]

    def judge(self) -> tuple[int, str]:
        """Judge as a Nagios plugin does.

        Returns:
            0 (OK) when every inbound reached an outbound and every outbound heard of one, else 2 (CRITICAL); the line.
        """
        mute = set.intersection(*(set(leg.missing) for leg in self.legs))
        deaf = [leg for leg in self.legs if not leg.heard]
        times = [taken for leg in self.legs for taken in leg.heard.values()]
        if not deaf and not mute:
            routes = ", ".join(f"{leg.inbound} -> {address}" for leg in self.legs for address in leg.heard)
            return 0, f"OK - {routes} in {max(times):.1f} ms | time={max(times):.1f}ms"
        faults = [f"{leg.inbound}: {leg.error or 'taken, but it did not come out at outbound'}" for leg in deaf]
        faults += [f"{address}: {self.unresolved.get(address, 'nothing came out')}" for address in sorted(mute)]
        return 2, f"CRITICAL - {'; '.join(faults)}"

    def describe(self) -> dict[str, Any]:
        """Describe the outcome for a script, as ``--json`` prints it."""
        code, line = self.judge()
        return {"ok": code == 0, "summary": line.partition(" | ")[0], **asdict(self)}


def probe(config: Mapping[str, Any], inbound: Sequence[str], outbound: Sequence[str], timeout: float) -> Result:
    """Send one message in at each inbound and wait for it at the outbounds.

    Several inbounds may be several relays or several names of one, so each must come out somewhere, and each outbound
    must hear something. The probe is never signed, also where scripts must sign: it says nothing that a listener would
    act on, and a listener that checks signatures passes over it.

    Args:
        config: the merged global config, for topic prefix and environment.
        inbound: addresses to send to.
        outbound: addresses to listen at.
        timeout: seconds for each inbound.

    Returns:
        The outcome.

    Raises:
        ConfigError: an address cannot be connected to at all.
    """
    timeout = min(LONGEST_TIMEOUT, timeout)
    started = time.monotonic()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    ears: dict[str, zmq.Socket[bytes]] = {}
    lookups = [Lookup(address) for address in outbound]
    unresolved = {}
    try:
        for lookup in lookups:
            numeric = lookup.result(started + timeout - time.monotonic())
            if lookup.fault:
                unresolved[lookup.address] = lookup.fault
            ears[lookup.address] = _listen(context, numeric, _topic(config))
        for address, ear in ears.items():
            if address not in unresolved:
                _wait_until_connected(ear, started + timeout)
        legs = [_leg(config, address, ears, timeout) for address in inbound]
    finally:
        context.destroy(linger=0)  # with the monitors, or it waits for them for ever
    return Result(legs, round(time.monotonic() - started, 3), unresolved)


def _topic(config: Mapping[str, Any]) -> str:
    return str(envelope(config, 0, TOPIC, {}, MODNAME)["topic"])


def _listen(context: zmq.Context[zmq.Socket[bytes]], addresses: Sequence[str], topic: str) -> zmq.Socket[bytes]:
    ear = context.socket(zmq.SUB)
    ear.setsockopt(zmq.IPV6, 1)
    ear.setsockopt(zmq.SUBSCRIBE, topic.encode())
    ear.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    for address in addresses:
        try:
            ear.connect(address)
        except zmq.ZMQError as error:
            ear.close(linger=0)
            raise ConfigError(f"cannot connect to {address!r}: {error.strerror}") from None
    return ear


def _wait_until_connected(ear: zmq.Socket[bytes], deadline: float) -> None:
    """Wait for the listener's handshake; its subscription goes out with it."""
    monitor = ear.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    monitor.poll(max(1, int((deadline - time.monotonic()) * 1000)))


def _leg(config: Mapping[str, Any], inbound: str, ears: Mapping[str, zmq.Socket[bytes]], timeout: float) -> Leg:
    deadline = time.monotonic() + timeout
    nonce = os.urandom(8).hex()
    connection = InboundConnection([inbound], "the address to probe")
    heard: dict[str, float] = {}
    error = ""
    try:
        for i in count(1):
            wrapped = envelope(config, i, TOPIC, {"probe": nonce}, MODNAME)
            sent = time.monotonic()
            fault = connection.send([encode(wrapped)], deadline - sent).fault
            if fault is not None:
                raise fault
            _hear(ears, nonce.encode(), sent, min(deadline, sent + RETRY_SECONDS), heard)
            if heard or time.monotonic() >= deadline:
                break
        connection.close(timeout)
    except NoRelayError as nobody:
        error = str(nobody)
    return Leg(inbound, heard, sorted(set(ears) - set(heard)), error)


def _hear(
    ears: Mapping[str, zmq.Socket[bytes]], nonce: bytes, sent: float, deadline: float, heard: dict[str, float]
) -> None:
    """Note at which outbounds the probe comes out, until it has at all of them or time is up."""
    poller = zmq.Poller()
    names = {ear: address for address, ear in ears.items()}
    for ear in names:
        poller.register(ear, zmq.POLLIN)
    while len(heard) < len(ears) and (left := deadline - time.monotonic()) > 0:
        for ear, _ in poller.poll(int(left * 1000) + 1):
            if nonce in ear.recv_multipart()[-1]:
                heard.setdefault(names[ear], round((time.monotonic() - sent) * 1000, 2))
