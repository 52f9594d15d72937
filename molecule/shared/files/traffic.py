"""For moves, restarts, upgrades and several relays: publish numbers, and say of each publisher what listeners heard.

Publishers and listeners are what stock fedmsg opens: PUB and SUB sockets with stock's queues and reconnect times, which
hold their address for as long as this runs. --client adds a publisher of ours: one process that publishes all the time
with the config that it found at its start. --script adds a script that is started anew for each message. --fedmsg adds
a long-running script with stock fedmsg, and takes stock's Python: it is for hosts where nothing of ours is yet.

With --together one listener is connected to all relays, as stock's is. It reads them in turn, so the client's messages
have an order for each relay that took them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import zmq

import stock_tail
from judgement import judge

PATIENCE = 60.0  # seconds
TOPIC = "verify.traffic.fence"  # heard.py, which may listen as well, passes over fences
SCRIPT = """
import json, sys, fedmsg_relay
fedmsg_relay.publish(topic="traffic.fence", modname="verify", msg={"said": json.loads(sys.argv[1])})
"""

Publish = Callable[[int | None], object]
"""Publish this number; None is a message that only shows whether somebody hears."""


class Traffic:
    """The numbers that were published and heard so far.

    Args:
        options: from the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.sent: dict[str, int] = {}
        self.takers: list[str] = []
        """The relay that gave the receipt of each of the client's numbers."""
        self.times: list[int] = []
        """When stock fedmsg sent each of its numbers (CLOCK_MONOTONIC, microseconds)."""
        self.listeners = [options.listen] if options.together else [[host] for host in options.listen]
        """The addresses of each listener."""
        self.heard: dict[str, dict[str, list[int]]] = {" ".join(hosts): defaultdict(list) for hosts in self.listeners}
        self.first = self.heard[" ".join(self.listeners[0])]
        """Of the listener that hears all, as it is there from the start."""
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.greeted_by: set[str] = set()
        self.go = threading.Event()
        self.faults: list[str] = []
        self._ears = {self._listen(hosts): " ".join(hosts) for hosts in self.listeners}

    def _listen(self, hosts: list[str]) -> zmq.Socket[bytes]:
        ear = self.context.socket(zmq.SUB)
        ear.setsockopt(zmq.RECONNECT_IVL, 100)
        ear.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        ear.subscribe(b"")
        for host in hosts:
            ear.connect(address(host, 3999))
        return ear

    def listen(self, seconds: float) -> int:
        """Hear messages for a time in seconds; return their number."""
        count = 0
        poller = zmq.Poller()
        for ear in self._ears:
            poller.register(ear, zmq.POLLIN)
        for ear, _ in poller.poll(int(seconds * 1000)):
            for _ in range(1000):
                if not ear.poll(0):
                    break
                count += self._hear(self._ears[ear], ear.recv_multipart()[1])
        return count

    def _hear(self, host: str, body: bytes) -> bool:
        what = said(json.loads(body), self.options.name)
        if what and what[1] is None:
            self.greeted_by.add(what[0])
        elif what:
            self.heard[host][what[0]].append(what[1])
        return bool(what)

    def publish(self, name: str, rate: float, publish: Publish) -> None:
        """Publish numbers until it is enough, never with more on their way than stock's queue or the options allow."""
        while not self.go.wait(0.2):
            publish(None)
        started, number = time.monotonic(), 0
        while not self._enough(number):
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
            if number - len(self.first[name]) >= self.options.on_their_way:
                time.sleep(0.01)
                continue
            try:
                publish(number)
            except Exception as fault:  # noqa: BLE001 -- whatever it is: it is said, and the message counts as lost
                self.faults.append(f"{name} {number}: {fault}")
            number += 1
            self.sent[name] = number

    def _enough(self, number: int) -> bool:
        if self.options.until:
            return bool(self.options.until.exists())
        return bool(number >= self.options.each)

    def complete(self) -> bool:
        """Whether the first listener, who was there from the start, has heard it all."""
        return all(len(set(self.first[name])) >= count for name, count in self.sent.items())

    def close(self) -> None:
        for ear in self._ears:
            ear.close(linger=0)
        self.context.term()


def said(message: dict[str, object], name: str) -> tuple[str, int | None] | None:
    """Which number of which publisher of this traffic a message is: our client has it inside the envelope."""
    inner = message.get("msg", message)
    what = inner.get("said") if isinstance(inner, dict) else None
    return (what[1], what[2]) if isinstance(what, list) and what[0] == name else None


def address(host: str, port: int) -> str:
    """Of a relay that may have a port of its own behind its name."""
    return f"tcp://{host}" if ":" in host else f"tcp://{host}:{port}"


def stock_publisher(traffic: Traffic, name: str, host: str) -> None:
    with traffic.context.socket(zmq.PUB) as publisher:
        publisher.connect(address(host, 9941))

        def publish(number: int | None) -> None:
            publisher.send_multipart(
                [TOPIC.encode(), json.dumps({"topic": TOPIC, "said": [traffic.options.name, name, number]}).encode()]
            )

        traffic.publish(name, traffic.options.rate, publish)
        publisher.close(linger=int(PATIENCE * 1000))


def client(traffic: Traffic) -> None:
    import fedmsg_relay  # noqa: PLC0415 -- only where it is asked for

    # With another relay instead of the spool it is patient: a slow disk must not make it ask both for one message.
    fedmsg_relay.init(name="relay_inbound", **({"relay_spool": ""} if traffic.options.together else {}))

    def publish(number: int | None) -> None:
        said = {"said": [traffic.options.name, "client", number]}
        taker = ""
        try:
            taker = fedmsg_relay.publish(topic="traffic.fence", modname="verify", msg=said).address
        finally:
            if number is not None:
                traffic.takers.append(taker)

    traffic.publish("client", traffic.options.rate, publish)
    fedmsg_relay.destroy()


def stock_fedmsg(traffic: Traffic) -> None:
    import fedmsg  # noqa: PLC0415 -- only stock's Python has it
    import fedmsg.config  # noqa: PLC0415

    config = fedmsg.config.load_config([], None)
    config["active"] = True
    fedmsg.init(name="relay_inbound", cert_prefix="shell", **config)

    def publish(number: int | None) -> None:
        if number is not None:
            traffic.times.append(time.monotonic_ns() // 1000)
        fedmsg.publish(topic="traffic.fence", modname="verify", msg={"said": [traffic.options.name, "fedmsg", number]})

    traffic.publish("fedmsg", traffic.options.rate, publish)
    fedmsg.destroy()


def script(traffic: Traffic) -> None:
    def publish(number: int | None) -> None:
        numbered = json.dumps([traffic.options.name, "script", number])
        subprocess.run([sys.executable, "-c", SCRIPT, numbered], check=True, timeout=PATIENCE)  # noqa: S603

    traffic.publish("script", 1.0, publish)


def tailed(file: Path, name: str) -> dict[str, list[int]]:
    """The numbers of each publisher that a stock fedmsg-tail has printed."""
    heard: dict[str, list[int]] = defaultdict(list)
    for message in stock_tail.messages(file):
        what = said(message, name)
        if what and what[1] is not None:
            heard[what[0]].append(what[1])
    return heard


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--publish", action="append", default=[], metavar="HOST[:PORT]", help="a publisher there")
    parser.add_argument(
        "--listen", action="append", required=True, metavar="HOST[:PORT]", help="a listener; the first hears all"
    )
    parser.add_argument("--together", action="store_true", help="one listener, connected to all of them")
    parser.add_argument("--name", required=True, help="tells this traffic from another at the same relays")
    parser.add_argument("--rate", type=float, required=True, help="messages a second, of each publisher")
    parser.add_argument("--each", type=int, default=0, help="messages of each publisher")
    parser.add_argument("--until", type=Path, help="instead: until this file is there")
    parser.add_argument("--begun", type=Path, help="this file is made when all publishers are heard")
    parser.add_argument("--on-their-way", type=int, default=1000, help="at most, of each (1000: stock's queue)")
    parser.add_argument("--client", action="store_true", help="our client publishes as well")
    parser.add_argument("--script", action="store_true", help="and a script that is started anew for each message")
    parser.add_argument("--fedmsg", type=Path, metavar="FILE", help="stock fedmsg publishes; judge_numbers.py has FILE")
    parser.add_argument("--tail", type=Path, help="what a stock fedmsg-tail prints, which hears all as well")
    return parser.parse_args()


def main() -> int:
    options = read_options()
    traffic = Traffic(options)
    threads = [
        threading.Thread(target=stock_publisher, args=(traffic, f"stock {number}", host))
        for number, host in enumerate(options.publish)
    ]
    threads += [
        threading.Thread(target=publish, args=(traffic,))
        for publish, wanted in ((client, options.client), (script, options.script), (stock_fedmsg, options.fedmsg))
        if wanted
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    while len(traffic.greeted_by) < len(threads) and time.monotonic() < deadline:
        traffic.listen(1)
    traffic.go.set()
    print("it flows", flush=True)
    if options.begun:
        options.begun.touch()

    while any(thread.is_alive() for thread in threads):
        traffic.listen(1)
    if options.fedmsg:
        options.fedmsg.write_text(json.dumps(traffic.times))
        traffic.close()
        return 0
    deadline = time.monotonic() + PATIENCE
    while not traffic.complete() and time.monotonic() < deadline:
        traffic.listen(1)
    # Anything that comes twice would come now.
    while traffic.listen(1):
        pass
    traffic.close()

    heard: dict[str, dict[str, list[int]]] = {f"at {hosts}": numbers for hosts, numbers in traffic.heard.items()}
    from_start = {next(iter(heard))}
    if options.tail:
        while (tail := tailed(options.tail, options.name)) != traffic.first and time.monotonic() < deadline:
            time.sleep(1)
        heard["fedmsg-tail"] = tail
        from_start.add("fedmsg-tail")
    takers = {"client": traffic.takers} if options.together else {}
    well, lines = judge(traffic.sent, heard, from_start, takers)
    if takers:
        lines.append(f"receipts of the client: {dict(Counter(traffic.takers))}")
    print("\n".join([*lines, *traffic.faults]))
    well = well and not traffic.faults
    print(f"{'OK' if well else 'FAILED'}: {sum(traffic.sent.values())} sent by {len(traffic.sent)} publishers")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
