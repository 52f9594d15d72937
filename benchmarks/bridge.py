"""The bridge: onto RabbitMQ and back, its lag, and what it costs the relay beside it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pika

from benchmarks import latency, throughput
from benchmarks.contenders import OURS, Contender, cpu_of
from benchmarks.load import in_a_process
from benchmarks.plan import BenchError, Plan, Row
from benchmarks.web import name_of
from benchmarks.work import TOPIC, Work
from bridged import Bridge
from broker import SERVER, Broker, Exchange
from fedmsg_relay.bridge import facts
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.journal.store import Journal
from harness import Host, wait_until

FORWARD, BACK, ALONE = "forward, confirmed", "back, with the relay's receipt", "pika alone, confirmed"
WITHOUT, BESIDE = "no bridge", "the bridge beside it"
SIZE, MESSAGES = 600, 30_000
WINDOW = 500
"""As the bridge has it, unless it is set."""
LAG_RATE, LAG_SECONDS = 100, 10
RELAY_SIZE, RELAY_COUNT = 300, 60_000
BRIDGE_NICE = 5
"""As in the bridge's unit."""
QUORUM = {"x-queue-type": "quorum"}
DONE_SECONDS = 300.0


def run(plan: Plan) -> list[Row]:
    if not Path(SERVER).exists():
        plan.note("bridge: not measured, as RabbitMQ is not installed")
        return []
    with closing(Broker().start()) as broker:
        rows: dict[str, Row] = {
            name: {"way": name, "rate": [], "cpu_us": [], "busy": [], "verdicts": []} for name in (FORWARD, ALONE, BACK)
        }
        measured = {FORWARD: forward, ALONE: alone, BACK: back}
        for number, name in plan.in_turn(list(rows)):
            found = measured[name](broker, plan.pick(MESSAGES, 500))
            for value in ("rate", "cpu_us", "busy"):
                rows[name][value].append(getattr(found, value))
            rows[name]["verdicts"].append(found.verdict)
            told = f"{found.rate:,.0f}/s, {found.cpu_us:.0f} us, {found.verdict}; {found.busy:.2f} cores for the broker"
            plan.say(f"bridge: round {number + 1}, {name}: {told}")
        return [*rows.values(), lag(plan, broker), *beside(plan, broker)]


class Measured(NamedTuple):
    """What one way did.

    Attributes:
        rate: messages a second.
        cpu_us: microseconds of CPU for each, of the bridge.
        busy: cores that the broker used meanwhile.
        verdict: what became of the messages.
    """

    rate: float
    cpu_us: float
    busy: float
    verdict: str


# Rates.


def forward(broker: Broker, count: int) -> Measured:
    """From the journal to the broker's confirm."""
    exchange = Exchange(broker)
    queue = exchange.queue("all", "#", **QUORUM)
    with ExitStack() as stack:
        host = stack.enter_context(closing(Host()))
        names = fill(host.journal_file, count)
        bridge = stack.enter_context(closing(Bridge(host, exchange)))
        bridge.start()
        measured = watch(bridge, "forward.confirmed", count)
    found = drain(exchange, queue, count)
    lost = len(set(names) - set(found))
    return measured._replace(verdict="all there, in order" if found == names else f"{lost} lost")


def fill(path: Path, count: int) -> list[str]:
    """Make a journal; return the names of its messages."""
    bodies = Work(count, SIZE).bodies(0)
    made = [Entry(TOPIC, body, name_of(body)) for body in bodies]
    with closing(Journal(path)) as journal:
        for at in range(0, count, 1000):
            journal.append(made[at : at + 1000])
        journal.mark_published(journal.last)
    return [str(entry.msg_id) for entry in made]


def watch(bridge: Bridge, counter: str, count: int) -> Measured:
    """Watch a counter of a bridge, from the first that was counted to the last."""
    state, pid, broker = bridge.host.directory / "state", bridge.running.pid, bridge.exchange.broker.pid()

    def counted() -> int:
        found = facts.read(state)
        return found.counters.get(counter, 0) if found else 0

    first = wait_until(counted, "the bridge has begun", DONE_SECONDS)
    began, used, busy = time.monotonic(), cpu_of(pid), cpu_of(broker)
    wait_until(lambda: counted() >= count, f"{counter} is {count}", DONE_SECONDS)
    seconds = max(1e-3, time.monotonic() - began)
    many = max(1, count - first)
    return Measured(many / seconds, (cpu_of(pid) - used) / many * 1e6, (cpu_of(broker) - busy) / seconds, "")


def drain(exchange: Exchange, queue: str, count: int) -> list[str]:
    """Take the messages of a queue; return their names."""
    found: list[str] = []
    with exchange.channel() as channel:
        for method, properties, _ in channel.consume(queue, auto_ack=True, inactivity_timeout=10):
            if method is None:
                break
            found.append(properties.message_id)
            if len(found) == count:
                break
    return found


def alone(broker: Broker, count: int) -> Measured:
    """The same with nothing but pika: it publishes the same body in windows of the same size."""
    exchange = Exchange(broker)
    queue = exchange.queue("all", "#", **QUORUM)
    body = Work(1, SIZE).bodies(0)[0]
    busy = cpu_of(broker.pid())
    seconds, cpu = publish(exchange, [(str(number), body) for number in range(count)])
    busy = cpu_of(broker.pid()) - busy
    lost = count - len(drain(exchange, queue, count))
    return Measured(count / seconds, cpu / count * 1e6, busy / seconds, f"{lost} lost" if lost else "all there")


def publish(exchange: Exchange, messages: Sequence[tuple[str, bytes]]) -> tuple[float, float]:
    """Publish with pika alone: name and body of each message. Return the seconds it took, and those of CPU.

    Each is confirmed: what is not, a quorum queue may lose when the channel is closed.
    """
    with in_a_process(_publish, exchange.url, exchange.name, messages) as pipe:
        pipe.send("go")
        if not pipe.poll(DONE_SECONDS):
            raise BenchError("RabbitMQ does not confirm what pika publishes")
        seconds, cpu = pipe.recv()
    return seconds, cpu


def _publish(pipe: Connection, url: str, exchange: str, messages: Sequence[tuple[str, bytes]]) -> None:
    count = len(messages)
    sent = confirmed = 0
    began = used = 0.0
    channel: Any = None

    def publish() -> None:
        nonlocal sent
        while sent < count and sent - confirmed < WINDOW:
            name, body = messages[sent]
            properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=name)
            channel.basic_publish(exchange, TOPIC.decode(), body, properties)
            sent += 1

    def answered(frame: Any) -> None:
        nonlocal confirmed
        confirmed = frame.method.delivery_tag if frame.method.multiple else confirmed + 1
        if confirmed >= count:
            connection.ioloop.stop()
        elif sent - confirmed <= WINDOW // 2:
            publish()

    def ready(_: Any) -> None:
        nonlocal began, used
        pipe.send("ready")
        pipe.recv()
        began, used = time.monotonic(), time.process_time()
        publish()

    def opened(_: Any) -> None:
        nonlocal channel
        channel = connection.channel(on_open_callback=lambda _: channel.confirm_delivery(answered, callback=ready))

    connection: Any = pika.SelectConnection(pika.URLParameters(url), on_open_callback=opened)
    connection.ioloop.start()
    pipe.send((time.monotonic() - began, time.process_time() - used))
    pipe.recv()


@contextmanager
def bridged(exchange: Exchange, **settings: str) -> Iterator[tuple[Contender, Bridge]]:
    """A relay, with a bridge that is not started."""
    with closing(Contender(OURS)) as contender:
        (contender.host.directory / "state").rmdir()
        (contender.host.directory / "state").symlink_to(contender.journal.parent)
        with closing(Bridge(contender.host, exchange, **settings)) as bridge:
            contender.start()
            yield contender, bridge


def back(broker: Broker, count: int) -> Measured:
    """From a queue to the relay's receipt."""
    exchange = Exchange(broker)
    queue = exchange.queue("back", "#", **QUORUM)
    bodies = [json.dumps(json.loads(body)["msg"]).encode() for body in Work(count, SIZE).bodies(0)]
    publish(exchange, [(f"2026-back-{number}", body) for number, body in enumerate(bodies)])
    wait_until(lambda: exchange.depth(queue) == count, "the queue is full", DONE_SECONDS)
    with bridged(exchange, back_queue=queue) as (contender, bridge):
        bridge.start()
        measured = watch(bridge, "back.taken", count)
        journaled = contender.relay.messages()["journaled"] if contender.relay else 0
    return measured._replace(verdict="all journaled" if journaled == count else f"{journaled} of {count} journaled")


# The lag.


def lag(plan: Plan, broker: Broker) -> Row:
    """Milliseconds from when a message is due at inbound to when a consumer of the queue has it, at a steady rate."""
    exchange = Exchange(broker)
    queue = exchange.queue("all", "#", **QUORUM)
    count = LAG_RATE * plan.pick(LAG_SECONDS, 1)
    work = Work(count, SIZE)
    due = {name_of(body): n / LAG_RATE for n, body in enumerate(work.bodies(0))}
    took: list[float] = []
    with bridged(exchange) as (contender, bridge), exchange.channel() as channel:
        bridge.start()
        bridge.wait_for(state="working")
        with in_a_process(latency.publish_at, work, contender.host.inbound, LAG_RATE) as pipe:
            begin = time.monotonic() + 0.5
            pipe.send(begin)
            for method, properties, _ in channel.consume(queue, auto_ack=True, inactivity_timeout=30):
                if method is None:
                    break
                if properties.message_id in due:
                    took.append((time.monotonic() - begin - due.pop(properties.message_id)) * 1000)
                if not due:
                    break
    verdict = f"{len(due)} lost" if due else "all there"
    plan.say(f"bridge: lag: median {median(took):.1f} ms, {verdict}")
    return {"lag": f"{LAG_RATE}/s", "ms": took, "messages": count, "verdicts": [verdict]}


# The relay beside it.


def beside(plan: Plan, broker: Broker) -> list[Row]:
    """The relay under load, in turn without a bridge and with one. Bridge and broker have a core of their own."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        plan.note("the relay with a bridge beside it: not measured, as this machine has one core")
        return []
    rows: dict[str, Row] = {
        name: {"beside": name, "rate": [], "cpu_us": [], "verdicts": []} for name in (WITHOUT, BESIDE)
    }
    other = set(cores[len(cores) // 2 :])
    exchange = Exchange(broker)
    exchange.queue("all", "#", **QUORUM)
    try:
        pin(broker.pid(), other)
        os.sched_setaffinity(0, set(cores) - other)
        with bridged(exchange) as (contender, bridge):
            throughput.warm(plan, {OURS: contender})
            for number, name in plan.in_turn(list(rows)):
                if name == BESIDE:
                    bridge.start()
                    pin(bridge.running.pid, other)
                    os.setpriority(os.PRIO_PROCESS, bridge.running.pid, BRIDGE_NICE)
                    bridge.wait_for(state="working")
                rate, cpu_us, verdict = throughput.measure(contender, Work(plan.pick(RELAY_COUNT, 1000), RELAY_SIZE))
                if name == BESIDE:
                    bridge.stop()
                rows[name]["rate"].append(rate)
                rows[name]["cpu_us"].append(cpu_us)
                rows[name]["verdicts"].append(verdict)
                plan.say(f"bridge: round {number + 1}, relay, {name}: {rate:,.0f}/s, {cpu_us:.1f} us, {verdict}")
            contender.check_journaled()
    finally:
        os.sched_setaffinity(0, cores)
        pin(broker.pid(), cores)
    return list(rows.values())


def pin(pid: int, cores: set[int] | Sequence[int]) -> None:
    """Let all threads of a process run on these cores alone."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)
