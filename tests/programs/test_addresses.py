"""Several addresses of one endpoint: each works, and status names its users and how long it has had none."""

from __future__ import annotations

import json
from typing import Any

from bus import join
from harness import Host, wait_until
from messages import numbered
from relays import Relay
from wire import Sockets


def port(address: str) -> str:
    return address.rpartition(":")[2]


def used(relay: Relay) -> dict[str, dict[str, Any]]:
    """The use of each address."""
    return {one["address"]: one for one in relay.status()["addresses"]}


def bind(host: Host, **endpoints: list[str]) -> None:
    host.settings_file.write_text(
        "[bind]\n" + "".join(f"{name} = {json.dumps(addresses)}\n" for name, addresses in endpoints.items())
    )


def test_each_endpoint_carries_at_its_old_address_and_its_new_one(host: Host, relay: Relay, sockets: Sockets) -> None:
    old = {"inbound": host.inbound, "outbound": host.outbound, "submit": host.submit}
    new = {name: f"tcp://127.0.0.1:{host.port()}" for name in old}
    host.configure(relay_submit=[host.submit])
    relay.start()
    publisher, listener, submitter = (
        sockets.publisher(host.inbound),
        sockets.listener(host.outbound),
        sockets.submitter(host.submit),
    )
    join(publisher, listener)
    relay.stop()

    bind(host, **{name: [new[name], old[name]] for name in old})
    relay.start()
    late = sockets.publisher(new["inbound"]), sockets.listener(new["outbound"]), sockets.submitter(new["submit"])
    join(publisher, listener, late[1])
    messages = numbered(4)
    publisher.send_all(messages[:1])
    listener.wait_for(messages[0])
    late[0].send_all(messages[1:2])
    listener.wait_for(messages[1])
    assert [asked.ask(message)["status"] for asked, message in ((submitter, messages[2]), (late[2], messages[3]))] == [
        "accepted"
    ] * 2
    late[1].expect(messages)
    wait_until(lambda: all(len(one["peers"]) == 1 for one in used(relay).values()), "each address has its user")


def test_status_shows_the_users_of_each_address_and_since_when_it_has_none(
    host: Host, relay: Relay, sockets: Sockets
) -> None:
    other = f"tcp://127.0.0.1:{host.port()}"
    bind(host, inbound=[host.inbound, other])
    relay.start()
    publisher = sockets.publisher(other)
    wait_until(lambda: used(relay)[other]["peers"], "the publisher is seen")
    status = relay.status()
    assert [(one["endpoint"], one["address"]) for one in status["addresses"]] == [
        ("inbound", host.inbound),
        ("inbound", other),
        ("outbound", host.outbound),
    ]
    assert used(relay)[other]["peers"] == status["peers"]["publishers"]
    assert used(relay)[other]["idle_seconds"] == 0
    assert used(relay)[host.inbound]["peers"] == []

    began = used(relay)[host.inbound]["idle_seconds"]
    publisher.close()
    wait_until(lambda: used(relay)[other]["idle_seconds"] > 0, "the publisher has left")
    now = used(relay)
    assert now[other]["peers"] == []
    assert 0 < now[other]["idle_seconds"] < now[host.inbound]["idle_seconds"]
    assert now[host.inbound]["idle_seconds"] > began, "what nobody came to is unused since the start"


def test_status_text_names_users_only_of_endpoints_with_several_addresses(
    host: Host, relay: Relay, sockets: Sockets
) -> None:
    other = f"tcp://127.0.0.1:{host.port()}"
    bind(host, inbound=[host.inbound, other])
    relay.start()
    sockets.publisher(other)
    (peer,) = wait_until(lambda: used(relay)[other]["peers"], "the publisher is seen")
    lines = host.run("fedmsg-relay", "status").stdout.splitlines()
    assert f"bound        inbound {other} used by {peer}" in lines
    assert any(line.startswith(f"bound        inbound {host.inbound} unused for ") for line in lines)
    assert f"bound        outbound {host.outbound}" in lines


def test_an_address_that_a_wildcard_covers_has_users_of_its_own(host: Host, relay: Relay, sockets: Sockets) -> None:
    number = port(host.inbound)
    bind(host, inbound=[f"tcp://127.0.0.2:{number}", f"tcp://*:{number}"])
    relay.start()
    assert relay.status()["endpoints"]["inbound"] == [f"tcp://*:{number}"]
    sockets.publisher(f"tcp://127.0.0.2:{number}")
    narrow = wait_until(lambda: used(relay)[f"tcp://127.0.0.2:{number}"]["peers"], "the publisher is seen")
    assert used(relay)[f"tcp://*:{number}"]["peers"] == []
    sockets.publisher(f"tcp://127.0.0.1:{number}")
    wait_until(lambda: used(relay)[f"tcp://*:{number}"]["peers"], "the other publisher is seen")
    assert used(relay)[f"tcp://127.0.0.2:{number}"]["peers"] == narrow


def test_an_ipc_address_has_its_users(host: Host, relay: Relay, sockets: Sockets) -> None:
    own = f"ipc://{host.directory}/inbound"
    bind(host, inbound=[host.inbound, own])
    relay.start()
    sockets.publisher(own)
    wait_until(lambda: used(relay)[own]["peers"] == ["local"], "the publisher is seen")
    assert used(relay)[host.inbound]["peers"] == []
