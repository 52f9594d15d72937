"""An upstream that stands still for longer than its link has patience, again and again, as on a swapping host."""

from __future__ import annotations

import signal

import pytest

from bus import join
from flowing import flowing
from messages import Message, envelope
from sites import Site, chained
from wire import Sockets


class Stream:
    """Submits messages, one after the other; each has got its receipt."""

    def __init__(self, sockets: Sockets, address: str) -> None:
        self.sent: list[Message] = []
        self._client = sockets.submitter(address)

    def submit(self) -> None:
        message = envelope("org.example.test.stops", len(self.sent))
        assert self._client.ask(message)["status"] == "accepted"
        self.sent.append(message)


@pytest.mark.timeout(900)
def test_repeated_stops_of_an_upstream_process_end_neither_relay(
    old: Site, new: Site, sockets: Sockets, request: pytest.FixtureRequest
) -> None:
    stops: int = request.config.getoption("--stops")
    chained(old, new)
    listeners = [sockets.listener(site.host.outbound) for site in (old, new)]
    join(sockets.publisher(old.host.inbound), *listeners)
    stream = Stream(sockets, old.host.submit)
    processes = [site.relay.running for site in (old, new)]

    def stop_and_continue() -> None:
        for _ in range(stops):
            before = len(stream.sent)
            processes[1].send_signal(signal.SIGSTOP)
            old.wait_for_upstream("away")
            assert len(stream.sent) > before + 100, "receipts all through"
            processes[1].send_signal(signal.SIGCONT)
            old.wait_for_upstream("joined")

    with flowing(stream.submit, 0.005):
        listeners[0].hear_while(stop_and_continue)
    for listener in listeners:
        listener.expect(stream.sent)
    assert [process.alive() for process in processes] == [True, True]
