"""A relay that is chained to another one: every message comes out once at every outbound along the chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from bus import join
from harness import Host, wait_until
from messages import Message, compare, envelope, numbered
from sites import Site, chained
from wire import Listener, Publisher, Sockets


def subscribed(sockets: Sockets, site: Site, publisher: Publisher) -> Listener:
    """A stock listener of the site that hears what the publisher sends."""
    listener = sockets.stock_listener(site.host.outbound)
    join(publisher, listener)
    return listener


def test_each_message_is_at_both_outbounds_once_wherever_it_came_in(old: Site, new: Site, sockets: Sockets) -> None:
    chained(old, new)
    at_old, at_new = sockets.publisher(old.host.inbound), sockets.publisher(new.host.inbound)
    listeners = [subscribed(sockets, old, at_old), subscribed(sockets, new, at_old)]
    join(at_new, *listeners)
    for start, publisher in enumerate((at_old, at_new, at_old)):
        messages = numbered(500, start * 500)
        publisher.send_all(messages)
        for listener in listeners:
            listener.expect(messages)
    assert old.relay.settled()["published"] >= 1000


def test_messages_submitted_to_a_chained_relay_come_out_upstream(old: Site, new: Site, sockets: Sockets) -> None:
    chained(old, new)
    listener = subscribed(sockets, new, sockets.publisher(new.host.inbound))
    client = sockets.submitter(old.host.submit)
    assert client.ask(*numbered(1000))["status"] == "accepted"
    assert client.ask(*numbered(1000))["duplicates"] == 1000
    listener.expect(numbered(1000))


def test_a_message_that_upstream_had_before_comes_out_once(old: Site, new: Site, sockets: Sockets) -> None:
    """As when a script turns from one relay to the other, as it has got no receipt in time."""
    chained(old, new)
    listeners = [sockets.listener(site.host.outbound) for site in (old, new)]
    join(sockets.publisher(new.host.inbound), *listeners)
    assert sockets.submitter(new.host.submit).ask(*numbered(10))["status"] == "accepted"
    for listener in listeners:
        listener.expect(numbered(10))
    assert sockets.submitter(old.host.submit).ask(*numbered(11))["status"] == "accepted"
    for listener in listeners:
        listener.expect(numbered(1, 10))


def test_messages_without_a_msg_id_come_out_as_often_as_they_came(old: Site, new: Site, sockets: Sockets) -> None:
    chained(old, new)
    publisher = sockets.publisher(old.host.inbound)
    listeners = [sockets.listener(site.host.outbound) for site in (old, new)]
    join(publisher, *listeners)
    same = (b"org.example.test.same", b'"alike"')
    for _ in range(3):
        publisher.send_all([same, same])
        for listener in listeners:
            listener.expect([same, same])
    publisher.send_all(numbered(1))
    for listener in listeners:
        listener.expect(numbered(1))


def test_while_upstream_is_away_receipts_are_given_and_everything_waits(old: Site, new: Site, sockets: Sockets) -> None:
    old.chain_to(new).relay.start()
    assert old.host.run("fedmsg-relay", "status").stdout.startswith("WARNING - upstream is away: ")
    client = sockets.submitter(old.host.submit)
    assert client.ask(*numbered(1000))["status"] == "accepted"
    sockets.publisher(old.host.inbound).send_all(numbered(500, 1000))
    wait_until(lambda: old.relay.messages()["waiting"] == 1500, "all of it waits")
    old.restart()
    assert old.relay.messages()["waiting"] == 1500
    listener = sockets.stock_listener(old.host.outbound)
    new.relay.start()
    old.wait_for_upstream("joined")
    listener.expect(numbered(1500))
    assert old.relay.settled()["waiting"] == 0
    assert new.relay.settled()["journaled"] == 1500


def test_repeated_kills_of_upstream_lose_nothing_and_journal_nothing_twice(
    old: Site, new: Site, sockets: Sockets
) -> None:
    chained(old, new)
    client = sockets.submitter(old.host.submit)
    for start in range(0, 10_000, 1000):
        client.send(*numbered(1000, start))
        if start % 2000 == 0:
            new.relay.kill()
            new.relay.start()
        assert client.answer()["status"] == "accepted"
    old.relay.settled()
    compare(new.journaled(), numbered(10_000))


def test_one_of_two_relays_chained_to_each_other_publishes_after_a_while(
    old: Site, new: Site, sockets: Sockets
) -> None:
    new.chain_to(old).relay.start()
    old.chain_to(new).relay.start()
    listener = sockets.stock_listener(old.host.outbound)
    for site in (old, new):
        site.relay.wait_for_log("upstream", "loop: its chain leads back here")
    client = sockets.submitter(old.host.submit)
    assert client.ask(*numbered(100))["status"] == "accepted"
    client = sockets.submitter(new.host.submit)
    assert client.ask(*numbered(100, 100))["status"] == "accepted"
    wait_until(lambda: set(numbered(200)) <= set(listener.hear(0.05)), "all messages come out")
    released = [site for site in (old, new) if site.relay.status()["unchained_from"]]
    [publishes] = released
    other = new if publishes is old else old
    other.wait_for_upstream("joined")
    assert publishes.relay.status()["unchained_from"] == [other.host.submit]
    warned = publishes.host.run("fedmsg-relay", "status")
    assert (warned.code, "publishes by itself" in warned.stdout) == (1, True)
    assert old.relay.settled()["waiting"] == new.relay.settled()["waiting"] == 0
    assert sorted(publishes.journaled()) == sorted(numbered(200))
    publishes.host.settings_file.write_text("")
    publishes.relay.reload()
    assert publishes.host.run("fedmsg-relay", "status").code == 0


@pytest.mark.parametrize("endpoint", ["submit", "outbound"])
def test_a_relay_is_not_chained_to_itself(host: Host, endpoint: str) -> None:
    host.configure_submit()
    other = {"submit": "tcp://127.0.0.1:9", "outbound": "tcp://127.0.0.1:9", endpoint: getattr(host, endpoint)}
    settings = host.write("relay.toml", "[upstream]\n" + "\n".join(f'{k} = ["{v}"]' for k, v in other.items()))
    for command in ([], ["check-config"]):
        ran = host.run("fedmsg-relay", *command, "--settings", settings)
        assert ran.code == 78
        assert "this relay itself: a loop" in ran.one_error_line()


@pytest.mark.parametrize("address", ["tcp://*:9", "tcp://a b:9"])
def test_an_upstream_that_cannot_be_connected_to_is_refused_at_once(host: Host, address: str) -> None:
    host.configure_submit()
    settings = host.write("relay.toml", f'[upstream]\nsubmit = ["tcp://127.0.0.1:9"]\noutbound = ["{address}"]\n')
    for command in ([], ["check-config"]):
        ran = host.run("fedmsg-relay", *command, "--settings", settings)
        assert ran.code == 78
        assert address in ran.one_error_line()


def test_the_global_config_says_where_upstream_is(old: Site, new: Site, sockets: Sockets) -> None:
    """As after a move: the config names the new relay everywhere, and the old one has an empty table."""
    new.relay.start()
    old.host.configure(new.host.inbound, new.host.outbound, relay_submit=[new.host.submit])
    bind = "\n".join(f'{name} = ["{getattr(old.host, name)}"]' for name in ("inbound", "outbound", "submit"))
    old.host.write("relay.toml", f"[bind]\n{bind}\n[upstream]\n")
    old.join()
    listener = subscribed(sockets, new, sockets.publisher(old.host.inbound))
    sockets.publisher(old.host.inbound).send_all(numbered(10))
    listener.expect(numbered(10))


def heard_all(listener: Listener, everything: int) -> bool:
    return len([frames for frames in listener.hear(0.05) if b".moving" in frames[0]]) >= everything


def forwards(site: Site) -> None:
    """What it hears upstream comes out here: it no longer waits for the listeners from before its start."""
    wait_until(lambda: not site.relay.status()["journal"]["holding"], "the hold is over")


class Traffic:
    """Publishers that know where to send, and listeners at both sites, while relays change their places."""

    OUTSTANDING = 40
    """Less than 8 KiB of each publisher: beyond that a stock PUB that is disconnected may forget a message."""

    def __init__(self, sockets: Sockets, sites: Sequence[Site]) -> None:
        self.publishers = [sockets.stock_publisher(site.host.inbound) for site in sites for _ in range(2)]
        self.listeners = [sockets.stock_listener(site.host.outbound) for site in sites]
        self.sent: list[list[Message]] = [[] for _ in self.publishers]
        for publisher in self.publishers:
            join(publisher, *self.listeners)

    def heard(self, listener: Listener, who: int) -> list[Message]:
        topic = self.topic(who).encode()
        return [(frames[0], frames[1]) for frames in listener.messages if frames[0] == topic]

    @staticmethod
    def topic(who: int) -> str:
        return f"org.example.test.moving{who}"

    def flow(self) -> int:
        """Send and hear a little; return how many messages the slowest publisher has sent."""
        for who, publisher in enumerate(self.publishers):
            behind = min(len(self.heard(listener, who)) for listener in self.listeners)
            while len(self.sent[who]) < behind + self.OUTSTANDING:
                message = envelope(self.topic(who), len(self.sent[who]))
                publisher.send(*message)
                self.sent[who].append(message)
        for listener in self.listeners:
            listener.hear(0.01)
        return min(map(len, self.sent))

    def flow_while(self, action: Callable[[], None]) -> None:
        with ThreadPoolExecutor(1) as beside:
            done = beside.submit(action)
            while not done.done():
                self.flow()
        done.result()

    def flow_on(self, count: int) -> None:
        """So many more messages of each publisher."""
        goal = min(map(len, self.sent)) + count
        wait_until(
            lambda: self.flow() >= goal,
            f"{count} more of each publisher",
        )

    def compare(self) -> None:
        """Everything that was sent, once, in the order of each publisher, at each listener."""
        for listener in self.listeners:
            everything = sum(map(len, self.sent))
            wait_until(partial(heard_all, listener, everything), "all that was sent, at the listener")
            for who, sent in enumerate(self.sent):
                compare(self.heard(listener, who), sent)


def test_a_relay_hands_over_to_another_and_takes_back_while_messages_flow(
    old: Site, new: Site, sockets: Sockets
) -> None:
    old.relay.start()
    new.relay.start()
    # Before the handover the new one is known to nobody: its publishers and listeners come with the chain.
    publisher = sockets.stock_publisher(old.host.inbound)
    listener = subscribed(sockets, old, publisher)

    def hand_over() -> None:
        assert old.relay.stop() == 0
        old.chain_to(new).join()

    def take_back() -> None:
        """The swap of two relays that both are in use: the one that is chained last keeps its upstream."""
        assert new.relay.stop() == 0
        new.chain_to(old).join()
        assert old.relay.status()["unchained_from"] == [new.host.submit]
        forwards(new)
        assert old.relay.stop() == 0
        old.stand_alone().relay.start()
        new.wait_for_upstream("joined")

    listener.hear_while(hand_over)
    traffic = Traffic(sockets, [old, new])
    traffic.flow_on(500)
    traffic.flow_while(take_back)
    traffic.flow_on(500)

    def hand_over_again() -> None:
        """Nobody takes [upstream] away: a relay that is restarted is chained, and the other one publishes."""
        assert old.relay.stop() == 0
        old.chain_to(new).join()
        assert new.relay.status()["upstream"] is None
        forwards(old)
        assert new.relay.stop() == 0
        new.join()
        assert old.relay.status()["upstream"] is None

    traffic.flow_while(hand_over_again)
    traffic.flow_on(500)
    traffic.compare()
