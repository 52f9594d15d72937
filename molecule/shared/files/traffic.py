"""Be one publisher after the other until a file is gone: traffic.py INBOUND FILE.

Each publisher connects, sends one message and leaves. Prints JSON: when the first one came, the TCP port of
each, and the line that examples/listener.py should print for each.
"""

import json
import os
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import zmq
from zmq.utils.monitor import recv_monitor_message

PATIENCE = 10_000  # milliseconds
LONGEST = 120  # seconds


def publish(inbound: str, topic: bytes, body: bytes) -> int:
    """Send one message over a connection of its own; return the port that it came from."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
        publisher.linger = PATIENCE
        monitor = publisher.get_monitor_socket(zmq.EVENT_CONNECTED)
        publisher.connect(inbound)
        if not publisher.poll(PATIENCE):
            sys.exit(f"the relay's subscription did not arrive from {inbound}")
        connected = recv_monitor_message(monitor)
        with socket.socket(fileno=os.dup(connected["value"])) as connection:
            port: int = connection.getsockname()[1]
        publisher.send_multipart([topic, body])
        publisher.disable_monitor()
    return port


def main() -> None:
    inbound, running = sys.argv[1], Path(sys.argv[2])
    deadline = time.monotonic() + LONGEST
    began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    ports: list[int] = []
    lines: list[str] = []
    while running.exists():
        if time.monotonic() > deadline:
            sys.exit(f"{running} was still there after {LONGEST} s")
        # A relay that decodes and encodes would change the spaces, the numbers and the repeated key.
        body = b'{ "n" : %d,\t"x":1e5, "x":[0.10,"\\u00e9"] }' % len(ports)
        ports.append(publish(inbound, b"verify.traffic", body))
        lines.append(f"verify.traffic {body.decode()}")
    print(json.dumps({"began": began, "ports": ports, "lines": lines}))


main()
