"""Clients in one process: each sends its next request when the last is answered, and the clock is around them all."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from benchmarks.load import in_a_process
from benchmarks.plan import BenchError
from benchmarks.rivals.client import Client, Request
from benchmarks.work import Work

SILENCE = 120.0
"""Seconds without a receipt after which the rest of them will not come."""


@dataclass(frozen=True)
class Asked:
    """What clients measured.

    Attributes:
        seconds: from the first request to the last receipt.
        cpu: seconds of CPU that the clients used, all in one process.
        receipts: how many messages have one of their own.
    """

    seconds: float
    cpu: float
    receipts: int


def ask(connect: Callable[[], Client], work: Work, batch: int, meanwhile: Callable[[], object] = bool) -> Asked:
    """Publish a work, with a client for each of its publishers.

    Args:
        connect: makes a client.
        work: the messages.
        batch: how many of them make a request.
        meanwhile: called here while the clients ask.

    Raises:
        BenchError: a message was refused, or receipts did not come.
    """
    with in_a_process(_ask, connect, work, batch) as pipe:
        pipe.send("go")
        meanwhile()
        try:
            told = pipe.recv() if pipe.poll(2 * SILENCE) else f"not every receipt within {2 * SILENCE:.0f} s"
        except EOFError:
            raise BenchError("the clients' process has ended") from None
    if isinstance(told, Asked):
        return told
    raise BenchError(told)


def _ask(pipe: Connection, connect: Callable[[], Client], work: Work, batch: int) -> None:
    clients = [connect() for _ in range(work.publishers)]
    requests = []
    for who, client in enumerate(clients):
        bodies = work.bodies(who)
        requests.append([client.request(bodies[at : at + batch]) for at in range(0, len(bodies), batch)])
    pipe.send("ready")
    pipe.recv()
    try:
        cpu, started = time.process_time(), time.monotonic()
        _exchange(clients, requests)
        seconds, cpu = time.monotonic() - started, time.process_time() - cpu
        pipe.send(Asked(seconds, cpu, len({one for client in clients for one in client.receipts()})))
    except (BenchError, OSError) as error:
        pipe.send(str(error))
    pipe.recv()


def _exchange(clients: Sequence[Client], requests: Sequence[Sequence[Request]]) -> None:
    waiting = {}
    poller = select.epoll()
    for client, mine in zip(clients, map(iter, requests), strict=True):
        waiting[client.fileno()] = (client, mine)
        poller.register(client, select.EPOLLIN)
        client.send(next(mine))
    while waiting:
        for number, _ in poller.poll(SILENCE) or _silence():
            client, mine = waiting[number]
            if not client.take():
                continue  # not all of it
            following = next(mine, None)
            if following is None:
                poller.unregister(number)
                del waiting[number]
            else:
                client.send(following)


def _silence() -> list[tuple[int, int]]:
    raise BenchError(f"no receipt for {SILENCE:.0f} s")
