"""The web process: what a flood of readers costs the relay, and how long answers from a long journal take."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from benchmarks import latency, throughput
from benchmarks.contenders import OURS, STATE, Contender
from benchmarks.load import in_a_process
from benchmarks.plan import BenchError, Plan, Row
from benchmarks.work import Work
from fedmsg_relay.body import find_msg_id
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.journal.store import Journal
from harness import Host, wait_until
from served import Web

CLIENTS = 200
QUIET, FLOODED = "nobody reads", f"{CLIENTS} clients read history"
RATE, SECONDS, COUNT = 20_000, 3, 60_000
SIZE = 300
RELAY_NICE, WEB_NICE = -10, 10
"""As in the units that the role writes."""
MESSAGES, LONG_MESSAGES = 1_000_000, 5_000_000
HOUR = 15_000
"""Messages of an hour, where five million are kept for 14 days."""
REQUESTS = 20
TOPIC, RARE = b"org.fedoraproject.prod.git.receive", b"org.fedoraproject.prod.rare.thing"
WINDOW, LAST, BY_ID, SEARCH = "/raw, an hour in the middle", "/raw, its last page", "/id in the middle", "/raw by topic"
MADE_AT_ONCE = 10_000
INDEX_SECONDS, ANSWER_SECONDS = 600.0, 60.0


def run(plan: Plan) -> list[Row]:
    return [*flood(plan), *history(plan)]


# A flood.


def flood(plan: Plan) -> list[Row]:
    """The relay under load, in turn with and without readers. They and the web process have a core of their own.

    The relay has the priority that its unit gives it, and the web process that of its unit.
    """
    rows: dict[str, Row] = {
        name: {"flood": name, "rate": [], "cpu_us": [], "p50": [], "p99": [], "answers": [], "verdicts": []}
        for name in cases()
    }
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        plan.note("flood of readers: not measured, as this machine has one core")
        return []
    beside = set(cores[len(cores) // 2 :])
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.sched_setaffinity(0, set(cores) - beside)
        prefer(plan, RELAY_NICE)
        with closing(Contender(OURS)) as contender:
            contender.start()
            throughput.warm(plan, {OURS: contender})
            with web_of(contender.host, contender.journal.parent, beside) as web:
                for number, name in plan.in_turn(cases()):
                    with ExitStack() as stack:
                        if name == FLOODED:
                            pipe = stack.enter_context(in_a_process(_flood, web.port, plan.pick(CLIENTS, 20), beside))
                        rate, cpu_us, verdict = throughput.measure(contender, Work(plan.pick(COUNT, 2000), SIZE))
                        steady = plan.pick(RATE, 1000)
                        took, also = latency.measure(contender, steady * plan.pick(SECONDS, 1), steady)
                        if name == FLOODED:
                            pipe.send("tell")
                            if not pipe.poll(ANSWER_SECONDS):
                                raise BenchError("no reader of history has had an answer")
                            rows[name]["answers"].append(pipe.recv())
                    rows[name]["rate"].append(rate)
                    rows[name]["cpu_us"].append(cpu_us)
                    rows[name]["verdicts"] += [verdict, also]
                    for percent in (50, 99):
                        rows[name][f"p{percent}"].append(latency.percentile(took, percent))
                    p99 = rows[name]["p99"][-1] or 0
                    plan.say(f"web: round {number + 1}, {name}: {rate:,.0f}/s, {cpu_us:.1f} us, p99 {p99:.2f} ms")
            contender.check_journaled()
    finally:
        os.sched_setaffinity(0, cores)
        prefer(plan, nice)
    return list(rows.values())


def prefer(plan: Plan, nice: int) -> None:
    """Set the priority of this process, and of those that it starts."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except PermissionError:
        plan.note("flood of readers: without the priorities of the units, as that takes root")


def cases() -> list[str]:
    return [QUIET, FLOODED]


@contextmanager
def web_of(host: Host, state: Path, cores: set[int]) -> Iterator[Web]:
    """The web process of a journal, on these cores."""
    (host.directory / "state").rmdir()
    (host.directory / "state").symlink_to(state)
    ours = os.sched_getaffinity(0)
    with closing(Web(host)) as web:
        os.sched_setaffinity(0, cores)
        try:
            web.start()
        finally:
            os.sched_setaffinity(0, ours)
        os.setpriority(os.PRIO_PROCESS, web.running.pid, WEB_NICE)
        yield web


def _flood(pipe: Connection, port: int, clients: int, cores: set[int]) -> None:
    os.sched_setaffinity(0, cores)
    os.setpriority(os.PRIO_PROCESS, 0, WEB_NICE)
    asyncio.run(_read(pipe, port, clients))


async def _read(pipe: Connection, port: int, clients: int) -> None:
    """Read history as fast as it comes; tell on "tell" how many answers a second there were."""
    answers, began = 0, time.monotonic()

    async def client(number: int) -> None:
        nonlocal answers
        page = number
        while True:
            page = (page + clients) % 500
            path = f"/raw?rows_per_page=100&order=asc&page={page + 1}"
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read()
                answers += answer.startswith(b"HTTP/1.1 200")
                writer.close()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client(number)) for number in range(clients)]
        pipe.send("ready")
        while not pipe.poll():
            await asyncio.sleep(0.05)
        pipe.recv()
        while not answers:
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
    pipe.send(answers / (time.monotonic() - began))
    pipe.recv()


# A long journal.


def history(plan: Plan) -> list[Row]:
    """Answers from a journal that the relay's own writer has made."""
    count = LONG_MESSAGES if plan.long else plan.pick(MESSAGES, 20_000)
    state = Path(tempfile.mkdtemp(prefix="web-", dir=STATE))
    try:
        names = make_journal(plan, state / "journal.db", count)
        with closing(Host()) as host, web_of(host, state, os.sched_getaffinity(0)) as web:
            began = time.monotonic()
            wait_until(
                lambda: web.get("/id", {"id": names[0]}).code == 200, "the index is complete", timeout=INDEX_SECONDS
            )
            index = time.monotonic() - began
            plan.say(f"web: {count:,} messages are indexed after {index:.1f} s")
            rows = [ask(plan, web, name, path) for name, path in requests(web, names, plan.pick(HOUR, 500)).items()]
    finally:
        shutil.rmtree(state)
    return [row | {"messages": count, "index": index} for row in rows]


def make_journal(plan: Plan, path: Path, count: int) -> list[str]:
    """Make a journal; return the names of the first message, of those around the middle, and of the last one."""
    names: list[str] = []
    middle = range(count // 2, count // 2 + plan.pick(HOUR, 500) + 1)
    began = time.monotonic()
    with closing(Journal(path)) as journal:
        for start in range(0, count, MADE_AT_ONCE):
            work = Work(min(MADE_AT_ONCE, count - start), SIZE)
            bodies = work.bodies(0)
            made = [Entry(RARE if n % 5000 == 0 else TOPIC, body, name_of(body)) for n, body in enumerate(bodies)]
            for at in range(0, len(made), 1000):
                journal.append(made[at : at + 1000])
            wanted = {0, *middle, count - 1}
            names += [str(made[n].msg_id) for n in range(len(made)) if start + n in wanted]
        journal.mark_published(journal.last)
    plan.say(f"web: journaled {count:,} messages in {time.monotonic() - began:.0f} s")
    return names


def name_of(body: bytes) -> str:
    name = find_msg_id(body)
    if not isinstance(name, str):
        raise BenchError(f"a message without a msg_id: {body[:80]!r}")
    return name


def requests(web: Web, names: list[str], hour: int) -> dict[str, str]:
    """What is asked, by what it is called."""
    first, last = (told(web, f"/trace?id={quote(name)}")["journal"]["time"] for name in (names[1], names[1 + hour]))
    window = {"start": repr(first), "end": repr(last), "rows_per_page": 100, "order": "asc"}
    pages = told(web, f"/raw?{urlencode(window)}")["pages"]
    if pages < hour // 100:
        raise BenchError(f"an hour in the middle has {pages} pages, not {hour // 100}")
    return {
        WINDOW: f"/raw?{urlencode(window)}",
        LAST: f"/raw?{urlencode(window | {'page': pages})}",
        BY_ID: f"/id?id={quote(names[hour // 2])}",
        SEARCH: f"/raw?{urlencode({'start': 1, 'topic': RARE.decode(), 'rows_per_page': 100})}",
    }


def told(web: Web, path: str) -> Any:
    answer = web.get(path)
    if answer.code != 200:
        raise BenchError(f"{path}: HTTP {answer.code}: {answer.body[:200]!r}")
    return answer.json()


def ask(plan: Plan, web: Web, name: str, path: str) -> Row:
    """Ask again and again, one request after the other."""
    milliseconds = []
    for _ in range(plan.pick(REQUESTS, 2)):
        began = time.perf_counter()
        answer = told(web, path)
        milliseconds.append((time.perf_counter() - began) * 1000)
    row: Row = {"request": name, "ms": milliseconds, "whole": answer.get("complete", True)}
    plan.say(f"web: {name}: {max(milliseconds):.1f} ms at most of {len(milliseconds)}")
    return row
