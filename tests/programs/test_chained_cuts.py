"""A chained relay that loses one of the two connections to its upstream, while others publish there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from bus import join
from cable import Cable
from messages import Message, envelope
from sites import Site
from wire import Publisher, Sockets


class Stream:
    """Publishes at the upstream, message after message, until it is ended."""

    def __init__(self, publisher: Publisher) -> None:
        self.sent: list[Message] = []
        self._publisher = publisher
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._flow)

    @contextlib.contextmanager
    def flowing(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()

    def _flow(self) -> None:
        while not self._ended.wait(0.002):
            self.sent.append(envelope("org.example.test.other", len(self.sent)))
            self._publisher.send(*self.sent[-1])


def test_a_cut_of_submit_alone_loses_and_repeats_no_message_of_others(old: Site, new: Site, sockets: Sockets) -> None:
    new.relay.start()
    with contextlib.closing(Cable(old.host, new.host.submit)) as submit:
        old.host.write("relay.toml", f'[upstream]\nsubmit = ["{submit.address}"]\noutbound = ["{new.host.outbound}"]\n')
        old.join()
        listener = sockets.listener(old.host.outbound)
        publisher = sockets.publisher(new.host.inbound)
        join(publisher, listener)
        stream = Stream(publisher)

        def cut_and_mend() -> None:
            for _ in range(3):
                submit.cut()
                old.wait_for_upstream("away")
                submit.mend()
                old.wait_for_upstream("joined")

        with stream.flowing():
            listener.hear_while(cut_and_mend)
        listener.expect(stream.sent)
