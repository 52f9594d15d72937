"""The peers that may connect: networks that may publish or submit, and the rate of each address at submit."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from bus import Bus, StartBus, join
from harness import Host, wait_until
from messages import compare, numbered
from relays import Relay
from sites import Site, chained
from spooled import deliver, expect_texts, message, put, waiting
from submitted import named
from wire import Publisher, Sockets, Submitter, accepted

PROBE = b"org.fedoraproject.test.relay.probe"


def bound(address: str, source: str) -> str:
    """The address, for a ZeroMQ socket that connects from another one of this host."""
    return f"tcp://{source}:0;{address.removeprefix('tcp://')}"


def publisher(bus: Bus, source: str) -> Publisher:
    return bus.sockets.publisher(bound(bus.host.inbound, source))


def submitter(bus: Bus, source: str) -> Submitter:
    return bus.sockets.submitter(bound(bus.host.submit, source))


def allow(host: Host, inbound: Sequence[str] = (), submit: Sequence[str] = (), rate: float = 0.0) -> None:
    host.write(
        "relay.toml",
        f"[trust]\ninbound_from = {list(inbound)}\nsubmit_from = {list(submit)}\n[limits]\nsubmit_rate = {rate}\n",
    )


def change(bus: Bus, inbound: Sequence[str] = (), submit: Sequence[str] = (), rate: float = 0.0) -> None:
    allow(bus.host, inbound, submit, rate)
    bus.relay.reload()


def start(host: Host, start_bus: StartBus) -> Bus:
    """A bus whose settings a test can change by a reload."""
    host.configure_submit()
    allow(host)
    return start_bus()


def test_by_default_every_address_is_taken(submit_bus: Bus) -> None:
    messages = numbered(3)
    publisher(submit_bus, "127.0.0.2").send(*messages[0])
    submit_bus.listener.expect(messages[:1])
    assert submitter(submit_bus, "127.0.0.3").ask(*messages[1:])["status"] == "accepted"
    submit_bus.listener.expect(messages[1:])
    sources = submit_bus.relay.status()["sources"]
    assert [sources[kind]["count"] for kind in ("inbound_refused", "submit_refused", "held_back")] == [0, 0, 0]


def test_a_publisher_of_another_network_is_quarantined_with_its_address(host: Host, start_bus: StartBus) -> None:
    bus = start(host, start_bus)
    mine, other = publisher(bus, "127.0.0.2"), publisher(bus, "127.0.0.3")
    first, second, third = numbered(3)
    change(bus, inbound=["127.0.0.2/32", "2001:db8::/32"])
    other.send(*second)
    bus.relay.wait_for_log("dropped 1 message: source-not-allowed (last from 127.0.0.3)")
    mine.send(*first)
    bus.listener.expect([first])
    shown = host.run("fedmsg-relay", "journal", "quarantine").stdout
    assert f" source-not-allowed 127.0.0.3 {len(second[0]) + len(second[1])} {second[0].decode()} " in shown
    change(bus)
    other.send(*third)
    bus.listener.expect([third])
    assert bus.relay.messages()["quarantined"] == 1
    status = bus.relay.status()
    assert status["dropped"]["source-not-allowed"] == 1
    assert status["sources"]["inbound_refused"] == {"count": 1, "most": [{"address": "127.0.0.3", "count": 1}]}
    text = host.run("fedmsg-relay", "status").stdout
    assert "\nnot allowed  127.0.0.3 1 of 1 messages at inbound\n" in text


def test_ipv4_at_an_address_of_both_families_is_ipv4(host: Host, relay: Relay, sockets: Sockets) -> None:
    port = host.port()
    allow(host, inbound=["127.0.0.2"])
    with host.settings_file.open("a") as settings:
        settings.write(f"[bind]\ninbound = ['tcp://*:{port}']\n")
    relay.start()
    listener = sockets.listener(host.outbound)
    join(sockets.publisher(bound(f"tcp://127.0.0.1:{port}", "127.0.0.2")), listener)
    sockets.publisher(bound(f"tcp://127.0.0.1:{port}", "127.0.0.3")).send(*numbered(1)[0])
    relay.wait_for_log("dropped 1 message: source-not-allowed (last from 127.0.0.3)")


def test_what_is_released_must_come_from_an_allowed_address(host: Host, start_bus: StartBus) -> None:
    bus = start(host, start_bus)
    change(bus, inbound=["127.0.0.9"])
    messages = numbered(2)
    publisher(bus, "127.0.0.2").send(*messages[0])
    publisher(bus, "127.0.0.3").send(*messages[1])
    wait_until(lambda: bus.relay.messages()["quarantined"] == 2, "both are quarantined")
    change(bus, inbound=["127.0.0.2"])
    assert host.run("fedmsg-relay", "journal", "release").stdout == "1 released, 1 stay: 1 source-not-allowed\n"
    bus.listener.expect(messages[:1])
    change(bus)
    ran = host.run("fedmsg-relay", "journal", "release", "--reason", "source-not-allowed")
    assert ran.stdout.startswith("1 released"), ran.stderr
    bus.listener.expect(messages[1:])


def test_what_is_not_well_formed_has_that_reason_from_everywhere(host: Host, start_bus: StartBus) -> None:
    bus = start(host, start_bus)
    change(bus, inbound=["127.0.0.2"], submit=["127.0.0.2"])
    bus.publisher.send(b"org.example", b"hello")
    answer = submitter(bus, "127.0.0.3").ask((b"org.example", b"hello"))
    assert answer["reason"] == "body-not-json"
    wait_until(lambda: bus.relay.status()["dropped"]["body-not-json"] == 2, "both are dropped for that")
    assert bus.relay.status()["dropped"]["source-not-allowed"] == 0


def test_a_submitter_of_another_network_is_refused_as_a_whole(host: Host, start_bus: StartBus) -> None:
    bus = start(host, start_bus)
    mine, other = submitter(bus, "127.0.0.2"), submitter(bus, "127.0.0.3")
    change(bus, submit=["127.0.0.0/31", "127.0.0.2"])
    assert other.ask(*numbered(3)) == {
        "status": "refused",
        "reason": "source-not-allowed",
        "detail": "from 127.0.0.3; message 1 of 3; none of them was taken",
    }
    assert mine.ask(*numbered(3))["status"] == "accepted"
    bus.listener.expect(numbered(3))
    assert bus.relay.messages()["refused"] == 3
    found = bus.relay.status()
    assert found["sources"]["submit_refused"] == {"count": 3, "most": [{"address": "127.0.0.3", "count": 3}]}
    assert found["settings"]["trust"]["submit_from"] == ["127.0.0.0/31", "127.0.0.2"]
    change(bus)
    assert other.ask(*numbered(3))["duplicates"] == 3


def test_a_script_of_another_network_is_told_so(host: Host, start_bus: StartBus) -> None:
    bus = start(host, start_bus)
    change(bus, submit=["192.0.2.0/24"])
    ran = host.run("fedmsg-logger", "--message=hello")
    assert ran.code == 77
    assert (
        "refused by the relay: source-not-allowed (from 127.0.0.1; message 1 of 1; none of them was taken)"
        in ran.one_error_line()
    )
    assert [file.name for file in host.spool.iterdir()] == [], "a refusal is for good: nothing waits for another try"


def test_a_wrong_list_loses_no_message_of_the_spool(host: Host, start_bus: StartBus) -> None:
    bus = start(host, start_bus)
    change(bus, submit=["192.0.2.0/24"])
    texts = [str(number) for number in range(3)]
    for number, text in enumerate(texts):
        put(host, message(text), f"{number:020d}-1-1.msg")
    ran = deliver(host)
    assert (ran.code, len(waiting(host))) == (77, 3)
    assert "0 delivered, 0 refused, 3 stay in" in ran.one_error_line()
    assert "source-not-allowed (from 127.0.0.1;" in ran.one_error_line()
    change(bus)
    assert deliver(host).stdout == "delivered 3, refused 0\n"
    expect_texts(bus, texts)


def test_peers_of_ipc_have_no_address_and_are_taken(host: Host, relay: Relay, sockets: Sockets) -> None:
    inbound, submit = f"ipc://{host.directory}/inbound", f"ipc://{host.directory}/submit"
    host.configure(inbound=[host.inbound, inbound], relay_submit=[host.submit, submit])
    allow(host, inbound=["192.0.2.0/24"], submit=["192.0.2.0/24"], rate=0.001)
    relay.start()
    join(sockets.publisher(inbound), sockets.listener(host.outbound))
    client = sockets.submitter(submit)
    for number in range(3):
        assert client.ask(named(f"2026-{number}", number))["status"] == "accepted"
    assert "\ntalkers      local " in host.run("fedmsg-relay", "status").stdout


def test_the_probe_goes_through_whatever_networks_are_named(host: Host, start_bus: StartBus) -> None:
    bus = start(host, start_bus)
    change(bus, inbound=["192.0.2.0/24"], submit=["192.0.2.0/24"])
    ran = host.run("fedmsg-relay", "probe", "--timeout", "10")
    assert ran.code == 0, ran.stdout
    wait_until(lambda: PROBE in {topic for topic, _ in bus.listener.hear(0.1)}, "the probe comes out")
    assert host.run("fedmsg-relay", "endpoints", "--check").code == 0
    assert host.run("fedmsg-relay", "status").code == 0
    bus.publisher.send(PROBE + b".not", b"{}")
    wait_until(lambda: bus.relay.messages()["quarantined"] == 1, "a topic that only begins like it is not the probe")


def test_a_chained_relay_of_another_network_keeps_what_it_has(old: Site, new: Site, sockets: Sockets) -> None:
    chained(old, new)
    sender, listener = sockets.publisher(old.host.inbound), sockets.listener(new.host.outbound)
    join(sender, listener)
    new.host.write("relay.toml", "")
    assert new.relay.stop() == 0
    new.relay.start()
    old.wait_for_upstream("joined")
    allow(new.host, submit=["192.0.2.0/24"])
    new.relay.reload()
    sender.send_all(numbered(500))
    wait_until(lambda: old.relay.status()["upstream"]["state"] == "away", "the upstream lets nothing in")
    said = old.host.run("fedmsg-relay", "status").stdout
    assert said.startswith("WARNING - upstream is away: ")
    old.relay.wait_for_log("it takes nothing from this host: source-not-allowed")
    assert old.relay.messages()["damaged"] == 0
    allow(new.host)
    new.relay.reload()
    listener.wait_for(numbered(500)[-1])
    assert old.relay.settled()["damaged"] == 0
    assert [message for message in new.journaled() if b"numbered" in message[0]] == numbered(500)


def test_a_source_beyond_its_rate_is_told_when_to_try_again(host: Host, start_bus: StartBus) -> None:
    bus = start(host, start_bus)
    hasty, other = submitter(bus, "127.0.0.2"), submitter(bus, "127.0.0.3")
    change(bus, rate=0.5)
    answers: list[dict[str, Any]] = [hasty.ask(message) for message in numbered(20)]
    taken = [answer for answer in answers if answer["status"] == "accepted"]
    assert 5 <= len(taken) < 20
    busy = answers[-1]
    assert busy["status"] == "busy"
    assert 0 < busy["retry_after"] <= 2.0
    assert other.ask(*numbered(20, 100))["status"] == "accepted", "its rate is its own"
    found = bus.relay.status()
    held_back = found["sources"]["held_back"]
    assert held_back == {"count": 20 - len(taken), "most": [{"address": "127.0.0.2", "count": 20 - len(taken)}]}
    assert found["overloaded"] == 0
    assert " of 1" in host.run("fedmsg-relay", "status").stdout.partition("\nheld back    127.0.0.2 ")[2][:8]
    bus.relay.wait_for_log("to try again: beyond limits.submit_rate (last from 127.0.0.2)")
    change(bus)
    assert hasty.ask(*numbered(1000, 1000))["status"] == "accepted", "a reload lifts it at once"


def test_after_the_time_to_wait_the_next_one_is_taken(host: Host, start_bus: StartBus) -> None:
    bus = start(host, start_bus)
    client = submitter(bus, "127.0.0.2")
    change(bus, rate=5.0)
    sent = 0
    while (answer := client.ask(*numbered(30, sent)))["status"] == "accepted":
        sent += 30
    before = time.monotonic()
    time.sleep(answer["retry_after"])
    assert client.ask(*numbered(30, sent)) == accepted(sent + 1 + marks(bus), sent + 30 + marks(bus))
    assert time.monotonic() - before >= answer["retry_after"]


def marks(bus: Bus) -> int:
    """Messages by which the bus found itself connected."""
    return int(bus.relay.status()["sources"]["published"]["count"])


def test_scripts_beyond_the_rate_lose_nothing_and_keep_their_order(host: Host, start_bus: StartBus) -> None:
    bus = start(host, start_bus)
    change(bus, rate=0.1)
    lines = [f"line {number}" for number in range(480)]
    for first in range(0, len(lines), 40):
        ran = host.run("fedmsg-logger", stdin="\n".join(lines[first : first + 40]))
        assert ran.code == 0, "beyond the rate it is spooled"
        assert first == 0 or "spooled" in ran.stderr
    change(bus, rate=30.0)
    held_back = bus.relay.status()["sources"]["held_back"]["count"]
    ran = host.run("fedmsg-relay", "spool", "deliver")
    assert ran.code == 0, ran.stderr
    assert bus.relay.status()["sources"]["held_back"]["count"] > held_back, "the delivery has to wait, too"

    def logged() -> list[str]:
        bodies = [json.loads(body) for topic, body in bus.listener.hear() if topic.endswith(b".logger.log")]
        return [body["msg"]["log"] for body in bodies]

    wait_until(lambda: len(logged()) >= len(lines), "every line came out")
    compare(logged(), lines)


def test_what_a_chained_relay_passes_on_is_not_held_back(old: Site, new: Site, sockets: Sockets) -> None:
    allow(new.host, rate=0.001)
    chained(old, new)
    sender, listener = sockets.publisher(old.host.inbound), sockets.listener(new.host.outbound)
    join(sender, listener)
    sender.send_all(numbered(3000))
    listener.expect(numbered(3000))
    assert new.relay.status()["sources"]["held_back"]["count"] == 0


def test_the_status_names_the_top_talkers(submit_bus: Bus) -> None:
    before = marks(submit_bus)
    for number in range(2, 9):
        publisher(submit_bus, f"127.0.0.{number}").send_all(numbered(100 * number, 10_000 * number))
    total = before + 100 * sum(range(2, 9))
    wait_until(lambda: marks(submit_bus) == total, "all have come")
    published = submit_bus.relay.status()["sources"]["published"]
    assert published["most"] == [{"address": f"127.0.0.{n}", "count": 100 * n} for n in (8, 7, 6, 5, 4)]
    most = "127.0.0.8 800, 127.0.0.7 700, 127.0.0.6 600, 127.0.0.5 500, 127.0.0.4 400"
    text = submit_bus.host.run("fedmsg-relay", "status").stdout
    assert f"\ntalkers      {most} of {total} messages at inbound\n" in text
