"""Tells the site's monitoring the same as a stock relay: JSON every 5 s, for ``fedmsg-check`` and Nagios checks.

It is published where the global config has ``moksha.monitoring.socket``, under the names of the parts that a stock
relay has. A thread of its own does it, and a fault of it does not touch the relay.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq

from fedmsg_relay.runtime import threads
from fedmsg_relay.runtime.log import log

if TYPE_CHECKING:
    from fedmsg_relay.daemon.accounting import Counts
    from fedmsg_relay.daemon.relay import Relay

BEAT_SECONDS = 5.0
"""Interval of stock's."""

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
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.linger = 0
        try:
            self._socket.bind(self._address)
            if self._address.startswith("ipc://") and config.get(MODE):
                Path(self._address.removeprefix("ipc://")).chmod(int(str(config[MODE]), base=8))
        except (zmq.ZMQError, OSError, ValueError) as error:
            log.error("%s %s cannot be used, stock's monitoring hears nothing: %s", SOCKET, self._address, error)
            self._end()
        else:
            self._thread = threads.start("monitoring", self._beat)

    def _beat(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            self._socket.send(json.dumps(self._describe()).encode())

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
            self._end()

    def _end(self) -> None:
        self._socket.close()
        self._context.term()


def _published(counts: Counts) -> int:
    return counts.published + counts.unjournaled
