"""A list of networks, and whether an IP address belongs to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

KNOWN_ADDRESSES = 10_000
"""Addresses that are remembered; with one more all of them are looked up anew."""


class Networks:
    """The networks of a list. Looking an address up costs once; the answer is remembered.

    Args:
        texts: the networks, as :func:`parse` takes them.

    Raises:
        ValueError: one of them is not a network.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._networks = [parse(text) for text in texts]
        self._known: dict[str, bool] = {}

    def __contains__(self, address: str) -> bool:
        """Tell whether an IP address belongs to one of the networks.

        Args:
            address: the address; IPv4 is not mapped into IPv6.
        """
        known = self._known.get(address)
        if known is None:
            found = ip_address(address)
            known = any(found in network for network in self._networks)
            if len(self._known) >= KNOWN_ADDRESSES:
                self._known.clear()
            self._known[address] = known
        return known


def parse(text: str) -> Network:
    """Read a network.

    Args:
        text: such as ``192.0.2.0/24``, ``2001:db8::/32``, or an address for this host alone. IPv4 that is mapped into
            IPv6 is IPv4.

    Returns:
        The network.

    Raises:
        ValueError: it is not a network; the text says what to write.
    """
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"'{text}' is not a network (accepted: '192.0.2.0/24', '2001:db8::/32', or an address such as '192.0.2.7')"
        ) from None
    address, slash, _ = text.partition("/")
    if slash and ip_address(address) != network.network_address:
        raise ValueError(
            f"'{text}' has host bits set: write '{network}' for the network, or '{address}' for the host alone"
        )
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network
