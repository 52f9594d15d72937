"""Tells the site's monitoring the same as a stock relay: JSON every 5 s, for ``fedmsg-check`` and Nagios checks.

It is published where the global config has ``moksha.monitoring.socket``, under the names of the parts that a stock
relay has. A thread of its own does it, and a fault of it does not touch the relay. Nor does a peer: libzmq's own PUB
socket would take in any number of subscriptions, and at its limit a PING would end the process.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmsg_relay.network import handshake
from fedmsg_relay.network.receiver import Receiver
from fedmsg_relay.runtime import threads
from fedmsg_relay.runtime.log import log

if TYPE_CHECKING:
    from fedmsg_relay.daemon.accounting import Counts
    from fedmsg_relay.daemon.relay import Relay

BEAT_SECONDS = 5.0
"""Interval of stock's."""

SUBSCRIPTION_BYTES = 4096
"""Bytes of a subscription; a peer that sends a longer one is cut. All peers hear everything: theirs is the choice."""

CONNECTIONS = 20
"""Maximum number of peers; the most silent ones make room for new ones."""

SOCKET, MODE = "moksha.monitoring.socket", "moksha.monitoring.socket.mode"


class Monitoring:
    """Publishes for stock's monitoring until closed; nothing where the config names no socket.

    Args:
        config: the merged global config.
        relay: the relay to describe.
    """

    def __init__(self, config: Mapping[str, Any], relay: Relay) -> None:
        self._relay = relay
        self._address = str(config.get(SOCKET) or "")
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._before = self._counts()
        if not self._address:
            return
        self._receiver = Receiver("monitor", handshake.PUB, streams=False)
        self._receiver.connected.capacity = CONNECTIONS
        try:
            self._receiver.bind(self._address)
            if self._address.startswith("ipc://") and config.get(MODE):
                Path(self._address.removeprefix("ipc://")).chmod(int(str(config[MODE]), base=8))
        except (OSError, ValueError) as error:
            log.error("%s %s cannot be used, stock's monitoring hears nothing: %s", SOCKET, self._address, error)
            self._receiver.close()
        else:
            self._thread = threads.start("monitoring", self._beat)

    def _beat(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            for _ in self._receiver.receive(SUBSCRIPTION_BYTES, 1, SUBSCRIPTION_BYTES):
                pass
            message = json.dumps(self._describe()).encode()
            for peer in self._receiver.peers.all():
                if peer.version:  # its handshake is over
                    self._receiver.reply(peer, [message])
            self._receiver.flush()

    def _describe(self) -> dict[str, Any]:
        """Describe the relay as moksha describes a stock one; counts are those since the last time."""
        before, self._before = self._before, self._counts()
        now = self._before
        consumer = {
            "name": "RelayConsumer",
            "module": "fedmsg.consumers.relay",
            "topic": "*",
            "initialized": True,
            "exceptions": len(threads.dead()),
            "jsonify": False,
            "backlog": now.waiting,
            "headcount_in": now.received - before.received,
            "headcount_out": _published(now) - _published(before),
            "times": [],
        }
        producer = {
            "name": "MonitoringProducer",
            "module": "moksha.hub.monitoring",
            "initialized": True,
            "exceptions": 0,
            "frequency": int(BEAT_SECONDS),
            "now": False,
            "last_ran": time.time(),
        }
        return {"consumers": [consumer], "producers": [producer]}

    def _counts(self) -> Counts:
        return self._relay.pipeline.accounting.totals()

    def close(self) -> None:
        """Stop publishing."""
        self._closed.set()
        if self._thread:
            self._thread.join()
            self._receiver.close()


def _published(counts: Counts) -> int:
    return counts.published + counts.unjournaled
