"""A chained relay that loses one of the two connections to its upstream, while others publish there."""

from __future__ import annotations

import contextlib

from bus import join
from cable import Cable
from flowing import flowing
from messages import Message, envelope
from sites import Site
from wire import Sockets


def test_a_cut_of_submit_alone_loses_and_repeats_no_message_of_others(old: Site, new: Site, sockets: Sockets) -> None:
    new.relay.start()
    with contextlib.closing(Cable(old.host, new.host.submit)) as submit:
        old.host.write("relay.toml", f'[upstream]\nsubmit = ["{submit.address}"]\noutbound = ["{new.host.outbound}"]\n')
        old.join()
        listener = sockets.listener(old.host.outbound)
        publisher = sockets.publisher(new.host.inbound)
        join(publisher, listener)
        sent: list[Message] = []

        def publish() -> None:
            sent.append(envelope("org.example.test.other", len(sent)))
            publisher.send(*sent[-1])

        def cut_and_mend() -> None:
            for _ in range(3):
                submit.cut()
                old.wait_for_upstream("away")
                submit.mend()
                old.wait_for_upstream("joined")

        with flowing(publish, 0.002):
            listener.hear_while(cut_and_mend)
        listener.expect(sent)
