"""Force logrotate twice while publishers come and go, and look for every line about them: rotation.py HOST.

To be run on the relay's host. Each publisher sends a message, hears it come out byte for byte, waits until the log
names it, and leaves. Afterwards the log and what logrotate made of it say once of each that it came and that it left.
"""

from __future__ import annotations

import gzip
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import zmq
from zmq.utils.monitor import recv_monitor_message

HOST = sys.argv[1]
ADDRESS = socket.gethostbyname(HOST)
PATIENCE = 15.0  # seconds
LOG = Path("/var/log/fedmsg/fedmsg-relay.log")
NEWEST_LOGS = [LOG, Path(f"{LOG}.1")]
LOGROTATE = ["/usr/sbin/logrotate", "--force", "/etc/logrotate.d/fedmsg-relay"]


class Publishers:
    """One after the other, with a listener that hears what they send."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.listener = self.context.socket(zmq.SUB)
        self.listener.subscribe(b"verify.")
        self.listener.connect(f"tcp://{HOST}:3999")

    def come_and_go(self) -> None:
        number = len(self.ports)
        # A relay that decodes and encodes would change the spaces, the numbers and the repeated key.
        sent = [b"verify.rotation", b'{ "n" : %d,\t"x":1e5, "x":[0.10,"\\u00e9"] }' % number]
        with self.context.socket(zmq.XPUB) as publisher:
            publisher.linger = 0
            monitor = publisher.get_monitor_socket(zmq.EVENT_CONNECTED)
            publisher.connect(f"tcp://{HOST}:9941")
            wait_until(lambda: publisher.poll(100), "the relay's subscription arrived")
            port = local_port(recv_monitor_message(monitor)["value"])
            publisher.disable_monitor()
            monitor.close()
            if number == 0:
                self._wait_until_the_listener_hears(publisher)
            publisher.send_multipart(sent)
            wait_until(lambda: self.listener.poll(100), f"message {number} came out")
            if (heard := self.listener.recv_multipart()) != sent:
                sys.exit(f"sent {sent}, heard {heard}")
            wait_until(lambda: port in seen("connected", NEWEST_LOGS), f"the log says that {port} connected")
        self.ports.append(port)

    def _wait_until_the_listener_hears(self, publisher: zmq.Socket[bytes]) -> None:
        """Publish until it comes out: only then is the listener's subscription known to be at the relay."""

        def heard() -> int:
            publisher.send_multipart([b"verify.hello", b"{}"])
            return self.listener.poll(100)

        wait_until(heard, "the listener is connected")
        publisher.send_multipart([b"verify.last", b"{}"])
        while self.listener.recv_multipart()[0] != b"verify.last":
            pass

    def close(self) -> None:
        self.listener.close()
        self.context.term()


def local_port(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        return int(connection.getsockname()[1])


def wait_until(reached: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > deadline:
            sys.exit(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.005)


def seen(event: str, logs: list[Path], since: str = "") -> list[int]:
    """The ports of publishers on this host of which the logs say so, a line each."""
    ports = []
    for log in logs:
        with suppress(FileNotFoundError):  # renamed in this moment: whoever waits looks again
            content = log.read_bytes()
            text = (gzip.decompress(content) if log.suffix == ".gz" else content).decode()
            lines = re.findall(rf"^(\S+) .* publisher {event} {ADDRESS}:(\d+)$", text, re.MULTILINE)
            ports += [int(port) for stamp, port in lines if stamp >= since]
    return ports


def main() -> None:
    since = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6]
    publishers = Publishers()
    for _ in range(2):
        for _ in range(10):
            publishers.come_and_go()
        rotation = subprocess.Popen(LOGROTATE)  # noqa: S603 -- nothing of it comes from outside
        while rotation.poll() is None:
            publishers.come_and_go()
        if rotation.returncode != 0:
            sys.exit(f"logrotate exited {rotation.returncode}")
    for _ in range(10):
        publishers.come_and_go()
    publishers.close()

    last = publishers.ports[-1]
    wait_until(lambda: last in seen("disconnected", NEWEST_LOGS, since), f"the log says that {last} disconnected")
    logs = sorted(LOG.parent.glob(f"{LOG.name}*"))
    expected = Counter(publishers.ports)
    for event in ("connected", "disconnected"):
        if (said := Counter(seen(event, logs, since))) != expected:
            sys.exit(f"{event}: not in the log {sorted(expected - said)}, too much in it {sorted(said - expected)}")
    names = [log.name for log in logs if seen("connected", [log], since)]
    if len(names) != 3:
        sys.exit(f"lines stand in {names}, but two rotations under traffic make three files with lines")
    print(f"{len(publishers.ports)} publishers in {', '.join(names)}")


main()
