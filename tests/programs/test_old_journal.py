"""The journal of a host that is dead: another relay sends what waited in it, as docs/dead-host.md tells."""

from __future__ import annotations

import json
import shutil

from journaled import take_back
from messages import numbered
from sites import Site
from wire import Sockets, accepted

PUBLISHED = 10
"""Messages that the relay had published when its host died."""


def die(site: Site, sockets: Sockets) -> None:
    """Leave a journal with 30 messages, of which the last 20 wait."""
    site.relay.start()
    assert sockets.submitter(site.host.submit).ask(*numbered(30)) == accepted(1, 30)
    site.relay.settled()
    site.relay.kill()
    take_back(site.host.journal_file, PUBLISHED, ["127.0.0.1"])


def test_a_relay_that_has_not_run_yet_goes_on_with_it(old: Site, new: Site, sockets: Sockets) -> None:
    die(old, sockets)
    new.host.journal_file.parent.mkdir(exist_ok=True)
    shutil.copy(old.host.journal_file, new.host.journal_file)
    listener = sockets.stock_listener(new.host.outbound)
    new.relay.start()
    listener.expect(numbered(30)[PUBLISHED:])
    listed = new.host.run("fedmsg-relay", "journal", "ls", "--json").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in listed] == list(range(1, 31))
    assert sockets.submitter(new.host.submit).ask(*numbered(1, start=30)) == accepted(31, 31)


def test_a_relay_chained_to_one_that_has_run_hands_over_what_waits(old: Site, new: Site, sockets: Sockets) -> None:
    die(old, sockets)
    new.relay.start()
    listener = sockets.stock_listener(new.host.outbound)
    assert sockets.submitter(new.host.submit).ask(*numbered(5, start=30)) == accepted(1, 5)
    listener.expect(numbered(5, start=30))
    old.chain_to(new).join()
    listener.expect(numbered(30)[PUBLISHED:])
    assert old.relay.settled()["waiting"] == 0
    assert new.relay.settled()["journaled"] == 5 + 30 - PUBLISHED
