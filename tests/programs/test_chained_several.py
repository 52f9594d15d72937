"""A relay that is chained to several others, which may be chained to each other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from bus import join
from harness import wait_until
from messages import numbered
from sites import Site, chained
from wire import Sockets


def states(site: Site) -> list[str]:
    found: list[str] = site.relay.status()["upstream"]["states"]
    return found


def test_what_two_relays_of_one_chain_publish_comes_out_once(
    old: Site, new: Site, site: Callable[[], Site], sockets: Sockets
) -> None:
    """As when one of two relays of a site leaves, and so is chained to the other one."""
    leaving = site()
    chained(leaving, new)
    parts = (numbered(20, start) for start in count(0, 20))
    for upstreams in ([new, leaving], [leaving, new]):
        old.chain_to(*upstreams).relay.start()
        wait_until(lambda: states(old) == ["joined", "joined"], "both are joined")
        listener = sockets.listener(old.host.outbound)
        publishers = [sockets.publisher(each.host.inbound) for each in (old, leaving, new)]
        join(publishers[0], listener)
        for publisher, part in zip(publishers, parts, strict=False):
            publisher.send_all(part)
            listener.expect(part)
        assert old.relay.stop() == 0
