"""Lists of networks: which addresses belong to them, and what is said of a text that is not a network."""

from __future__ import annotations

import pytest

from fedmsg_relay import tcp
from fedmsg_relay.network import networks
from fedmsg_relay.network.networks import Networks

BELONG = [
    ("192.0.2.0/24", "192.0.2.7", True),
    ("192.0.2.0/24", "192.0.3.7", False),
    ("192.0.2.7", "192.0.2.7", True),
    ("192.0.2.7", "192.0.2.8", False),
    ("192.0.2.7/32", "192.0.2.7", True),
    ("192.0.2.0/255.255.255.0", "192.0.2.7", True),
    ("0.0.0.0/0", "198.51.100.1", True),
    ("0.0.0.0/0", "2001:db8::1", False),
    ("2001:db8::/32", "2001:db8:1::9", True),
    ("2001:db8::/32", "2001:db9::1", False),
    ("2001:DB8::1", "2001:db8::1", True),
    ("fe80::/10", "fe80::1%eth0", True),
    ("::/0", "2001:db8::1", True),
    ("::/0", "192.0.2.7", False),
    ("::ffff:192.0.2.0/120", "192.0.2.7", True),
    ("::ffff:192.0.2.0/120", "192.0.3.7", False),
    ("::ffff:192.0.2.7", "192.0.2.7", True),
]


@pytest.mark.parametrize(("network", "address", "belongs"), BELONG)
def test_an_address_belongs_to_a_network(network: str, address: str, belongs: bool) -> None:
    assert (address in Networks([network])) is belongs
    assert (address in Networks(["203.0.113.0/24", network])) is belongs


@pytest.mark.parametrize(
    ("name", "ip"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1, 0, 0), "192.0.2.7"),
        (("2001:db8::1", 1, 0, 0), "2001:db8::1"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::1%eth0"),
        ("", ""),
        ("/run/client.sock", ""),
        (b"\0name:1", ""),
    ],
)
def test_the_ip_address_of_a_peer(name: tcp.Address, ip: str) -> None:
    assert tcp.ip_of(tcp.format_address(name)) == ip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a network"),
        ("app01.example.org", "is not a network"),
        ("192.0.2", "is not a network"),
        ("192.0.2.0/33", "is not a network"),
        ("192.0.2.0/24/24", "is not a network"),
        ("*", "is not a network"),
        ("192.0.2.7/24", "write '192.0.2.0/24' for the network, or '192.0.2.7' for the host alone"),
        ("2001:db8::1/32", "write '2001:db8::/32' for the network, or '2001:db8::1' for the host alone"),
    ],
)
def test_what_is_not_a_network_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"is not a network|has host bits set") as refused:
        Networks(["192.0.2.0/24", text])
    assert str(refused.value).startswith(f"'{text}' ")
    assert words in str(refused.value)


def test_the_known_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "KNOWN_ADDRESSES", 10)
    found = Networks(["10.0.0.0/25"])
    for _ in range(2):
        assert [f"10.0.0.{n}" in found for n in range(256)] == [n < 128 for n in range(256)]
        assert len(found._known) <= 10
