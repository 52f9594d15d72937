"""A long-running script while its relay moves: its sent and its spooled messages come out in order."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness import Host, Process, wait_until
from ports import connections, occupied
from relays import Relay
from spooled import deliver, waiting
from wire import Sockets

SCRIPT = """
import os, time
import fedmsg_relay as fedmsg
INIT
n = 0
while True:
    while not os.path.exists(f'go-{n}'):
        time.sleep(0.01)
    receipt = fedmsg.publish(topic='t', modname='test', msg={'n': n})
    print(receipt.address or 'spooled', flush=True)
    n += 1
"""

# In the manner of hooks, which hand everything they read back; by itself; and with an address of its own.
HOOKS = """
config = fedmsg.config.load_config([], None)
config['active'] = True
fedmsg.init(name='relay_inbound', **config)
os.chdir('fedmsg.d/..')
"""
OWN = "fedmsg.init(relay_submit=fedmsg.config.load_config()['relay_submit'] + ['tcp://127.0.0.1:9'])"


@dataclass
class Mover:
    """A script's host, its relay before and after the move, and what the script has been told."""

    host: Host
    old: Relay
    new: Relay
    listener: Sockets
    script: Process | None = None
    sent: int = 0

    def start(self, init: str = "") -> None:
        self.script = self.host.start("python", "-c", SCRIPT.replace("INIT", init))

    def publish(self) -> str:
        """Let the script publish one more; return the relay that accepted it."""
        assert self.script is not None
        script = self.script
        self.host.write(f"go-{self.sent}", "")
        self.sent += 1
        wait_until(lambda: script.stdout().count("\n") == self.sent or not script.alive(), "it has published")
        assert script.alive(), script.stderr()
        return script.stdout().splitlines()[-1]


def point(mover: Mover, relay: Relay, inbound: bool) -> None:
    mover.host.configure_submit()
    values = {} if inbound else {"relay_submit": [relay.host.submit]}
    mover.host.configure(inbound=relay.host.inbound, relay_spool=str(mover.host.spool), **values)


@pytest.fixture
def mover(host: Host, sockets: Sockets) -> Iterator[Mover]:
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(contextlib.closing(Host())) for _ in range(2)]
        relays = [stack.enter_context(contextlib.closing(Relay(one))) for one in hosts]
        for relay in relays:
            relay.host.configure_submit()
            relay.start()
        yield Mover(host, relays[0], relays[1], sockets)


@contextlib.contextmanager
def silent(relay: Relay) -> Iterator[None]:
    """The relay is gone, and another program that never answers has its ports."""
    with contextlib.ExitStack() as stack:
        for address in (relay.host.inbound, relay.host.submit):
            stack.enter_context(occupied(int(address.rpartition(":")[2])))
        yield


@pytest.mark.parametrize("inbound", [False, True], ids=["submit", "inbound"])
@pytest.mark.parametrize("back", ["gone", "back", "chained"])
@pytest.mark.parametrize("init", ["", HOOKS], ids=["publish", "init"])
def test_messages_spooled_during_a_move_keep_their_place(mover: Mover, init: str, back: str, inbound: bool) -> None:
    point(mover, mover.old, inbound)
    ear = mover.listener.listener(mover.new.host.outbound)
    mover.start(init)
    assert mover.publish().startswith("tcp://")
    mover.old.stop()
    assert [mover.publish(), mover.publish()] == ["spooled", "spooled"]
    point(mover, mover.new, inbound)
    if back == "chained":
        new = mover.new.host
        chain = f'[upstream]\nsubmit = ["{new.submit}"]\noutbound = ["{new.outbound}"]\n'
        mover.old.host.settings_file.write_text(chain)
    if back != "gone":
        mover.old.start()
    assert mover.publish() == "spooled", "the others still wait"
    assert deliver(mover.host).code == 0
    with silent(mover.old) if back == "gone" else contextlib.nullcontext():
        taken = [mover.publish(), mover.publish()]
        if back == "gone":
            addresses = (mover.old.host.inbound, mover.old.host.submit)
            assert [row for address in addresses for row in connections(address)] == [], "it asks the old relay"
    assert taken == [mover.new.host.inbound if inbound else mover.new.host.submit] * 2
    assert waiting(mover.host) == []

    def heard() -> list[int]:
        return [json.loads(body)["msg"]["n"] for _, body in ear.hear(0.1)]

    wait_until(lambda: len(heard()) >= 5, "all that came after the old relay had stopped")
    assert heard() == [1, 2, 3, 4, 5]


def test_an_address_that_a_script_has_chosen_itself_stays(mover: Mover) -> None:
    point(mover, mover.old, inbound=False)
    mover.start(OWN)
    mover.publish()
    mover.old.stop()
    assert mover.publish() == "spooled"
    point(mover, mover.new, inbound=False)
    assert deliver(mover.host).code == 0
    mover.old.start()
    assert mover.publish() == mover.old.host.submit


def test_a_script_goes_on_as_before_while_somebody_is_writing_the_config(mover: Mover) -> None:
    point(mover, mover.old, inbound=False)
    mover.start()
    mover.publish()
    mover.old.stop()
    assert mover.publish() == "spooled"
    mover.old.start()
    assert deliver(mover.host).code == 0
    (mover.host.directory / "fedmsg.d" / "relay.py").write_text("config = dict(")
    assert mover.publish() == mover.old.host.submit
