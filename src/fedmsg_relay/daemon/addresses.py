"""The addresses that this relay binds, which are this host's in the global config; and the addresses of its upstream.

An IP literal or ``*`` is bound as it is. A host name is bound on ``*`` with its port, as stock publishers do, and only
if the name is this host's: the config is the same everywhere and may name several relays.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmsg_relay import config as global_config
from fedmsg_relay import hostnames
from fedmsg_relay.daemon.settings import DEFAULT_PATH, Bind, Settings
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.network.address import is_path, literal, parse, split

NAME_SECONDS = 8.0
"""Maximum time that a start waits for all name servers: a dead one is skipped after 5 s."""

UPSTREAM_SECONDS = 2.0
"""The same, for finding out whether a relay upstream is this one."""


class NoAddressError(ConfigError):
    """No address is this host's, for now: a name may not resolve yet, or an interface not be up."""


@dataclass(frozen=True)
class Plan:
    """The addresses of one endpoint: some to bind, and others that are left out.

    Attributes:
        local: addresses of this host, to bind.
        foreign: addresses of other hosts.
        covered: addresses of this host that a wildcard in ``local`` takes in.
    """

    local: tuple[str, ...]
    foreign: tuple[str, ...]
    covered: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plans:
    """The addresses of all endpoints of a relay; submit may have none."""

    inbound: Plan
    outbound: Plan
    submit: Plan

    def endpoints(self) -> dict[str, Plan]:
        """Get the plans by the endpoint's name."""
        return {"inbound": self.inbound, "outbound": self.outbound, "submit": self.submit}


def plan(config: Mapping[str, Any], settings: Settings, settings_path: Path | None = None) -> Plans:
    """Decide which addresses to bind.

    Args:
        config: the merged global config.
        settings: relay.toml, whose ``[bind]`` is used instead of the config.
        settings_path: of relay.toml, for messages.

    Returns:
        The plans. Inbound and outbound have at least one address to bind, submit only if it is named.

    Raises:
        ConfigError: an address is malformed, or two endpoints want the same port.
        NoAddressError: no address is this host's.
    """
    chosen = {}
    _begin_to_look_up(config, settings)
    for endpoint in ("inbound", "outbound", "submit"):
        own = getattr(settings.bind, endpoint)
        origin = f"{settings_path or DEFAULT_PATH}: bind.{endpoint}" if own else f"global config: relay_{endpoint}"
        if endpoint == "submit" and not own and not config.get("relay_submit"):
            chosen[endpoint] = Plan((), ())
            continue
        chosen[endpoint] = _plan_one(own or global_config.addresses(config, f"relay_{endpoint}"), origin)
    plans = Plans(**chosen)
    for one, other in itertools.combinations(plans.endpoints(), 2):
        _refuse_clash(
            plans, one, other, f"{settings_path or DEFAULT_PATH}" if settings.bind != Bind() else "global config"
        )
    return plans


def upstream(
    config: Mapping[str, Any], settings: Settings, plans: Plans, settings_path: Path | None = None
) -> list[tuple[str, str]]:
    """Decide which relays this one is chained to.

    Args:
        config: the merged global config.
        settings: relay.toml, whose ``[upstream]`` is used instead of the config.
        plans: addresses that this relay binds.
        settings_path: of relay.toml, for messages.

    Returns:
        Submit and outbound of each relay; none where this relay is not chained.

    Raises:
        ConfigError: an address is missing, malformed or this relay's own.
    """
    if settings.upstream is None:
        return []
    origin = f"{settings_path or DEFAULT_PATH}: upstream"
    submits = settings.upstream.submit or global_config.addresses(config, "relay_submit")
    outbounds = settings.upstream.outbound or global_config.addresses(config, "relay_outbound")
    if len(submits) != len(outbounds):
        raise ConfigError(
            f"{origin}: each relay has a submit and an outbound, but there are "
            f"{len(submits)} ({', '.join(submits)}) and {len(outbounds)} ({', '.join(outbounds)})"
        )
    named = {address: _to_connect(address, origin) for address in (*submits, *outbounds)}
    own = {address for plan in plans.endpoints().values() for address in plan.local}
    ports = {_port(address) for address in own if not address.startswith("ipc://")}
    for address, (host, port) in named.items():
        # Where a name server is too slow to show a loop here, the relay finds it when it runs.
        if address in own or (str(port) in ports and is_this_host(host, UPSTREAM_SECONDS)):
            raise ConfigError(f"{origin}: {address} is this relay itself: a loop, and no message would come out")
    return list(zip(submits, outbounds, strict=True))


def _to_connect(address: str, origin: str) -> tuple[str, int]:
    """Split an address; refuse it if it can only be bound, or if no host can have it. No relay need answer there."""
    if address.startswith("ipc://"):
        return "", 0
    host, port = split(address, origin)
    try:
        possible = not re.search(r"[\s*]", host) and bool(host.encode("idna"))
    except UnicodeError:  # a label is empty or too long
        possible = False
    if not possible:
        raise ConfigError(f"{origin}: cannot connect to {address}: no host can have this name")
    return host, port


def _plan_one(addresses: Sequence[str], origin: str) -> Plan:
    local: dict[str, None] = {}
    foreign = []
    for address in addresses:
        if is_path(address, origin):
            local[address] = None
            continue
        host, port = split(address, origin)
        if host == "*":
            local[address] = None
        elif ip := literal(host):
            # Of several relays, each named by its IP, only ours can be bound.
            if ip.is_unspecified or _is_local(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, (host,)):
                local[address] = None
            else:
                foreign.append(address)
        elif is_this_host(host):
            local[f"tcp://*:{port}"] = None
        else:
            foreign.append(address)
    if not local:
        why = f"{origin} names no address of this host, there is nothing to bind: {', '.join(foreign)}"
        raise NoAddressError(f"{why}{_unresolved(foreign)}")
    bound = _without_covered(local)
    return Plan(bound, tuple(foreign), tuple(address for address in local if address not in bound))


def is_this_host(name: str, seconds: float = NAME_SECONDS) -> bool:
    """Tell whether a host name is this host's: its own name, or a name that resolves to an address it holds.

    Args:
        name: a host name.
        seconds: maximum time for the name server to answer, from when it was first asked.

    Returns:
        True if it is; False where the name server takes longer to answer.
    """
    if name.lower() == socket.gethostname().lower():
        return True
    if any(_is_local(family, address) for family, address in _found(_search(name), seconds)):
        return True
    return not literal(name) and name.lower() in [full.lower() for full in _found(_search(), seconds)]


@functools.cache  # one start asks once
def _search(name: str = "") -> hostnames.Search:
    """The search for a host's addresses, or without a name for this host's own."""
    return hostnames.search(name) if name else hostnames.search_own()


def _found(search: hostnames.Search, seconds: float) -> list[Any]:
    return search.found if search.ended(search.started + seconds - time.monotonic()) else []


def _begin_to_look_up(config: Mapping[str, Any], settings: Settings) -> None:
    """Look up all names at the same time, so that they take no longer than one of them."""
    _search()
    addresses = [*settings.bind.inbound, *settings.bind.outbound, *settings.bind.submit]
    if settings.upstream is not None:
        addresses += [*settings.upstream.submit, *settings.upstream.outbound]
    for key in ("relay_inbound", "relay_outbound", "relay_submit"):
        with contextlib.suppress(ConfigError):  # reported where the address is needed
            addresses += global_config.addresses(config, key)
    for name in _names(addresses):
        _search(name)


def _unresolved(addresses: Iterable[str]) -> str:
    """Name the host names that did not resolve, as the end of a sentence: they may be this host's."""
    return "".join(f"; {fault}" for fault in dict.fromkeys(_search(name).fault for name in _names(addresses)) if fault)


def _names(addresses: Iterable[str]) -> list[str]:
    """The host names in addresses, as far as these are well-formed."""
    hosts = [parts[0] for parts in map(parse, addresses) if parts]
    return [host for host in hosts if host != "*" and not literal(host)]


def _is_local(family: int, address: Any) -> bool:
    """Tell whether this host holds an address: no other can be bound."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except OSError:  # of another host, or of a family that this kernel does not have
        return False
    return True


def _without_covered(local: Iterable[str]) -> tuple[str, ...]:
    """Leave out addresses that a wildcard of the same port covers: binding both would fail."""
    local = tuple(local)
    wildcards = {address.rpartition(":")[2] for address in local if address.startswith("tcp://*:")}
    return tuple(a for a in local if a.startswith(("tcp://*:", "ipc://")) or a.rpartition(":")[2] not in wildcards)


def _refuse_clash(plans: Plans, one: str, other: str, origin: str) -> None:
    """Refuse two endpoints on one port whose addresses overlap: they cannot both be bound."""
    for first, second in itertools.product(plans.endpoints()[one].local, plans.endpoints()[other].local):
        if first == second or (_port(first) == _port(second) and _overlap(first, second)):
            keys = [
                key.replace("relay_outbound", "endpoints['relay_outbound']")
                for key in (f"relay_{one}", f"relay_{other}")
            ]
            raise ConfigError(
                f"{origin}: {one} {first} and {other} {second} clash: {' and '.join(keys)} "
                f"(or bind.{one} and bind.{other}) need different ports"
            )


def _port(address: str) -> str:
    return address.rpartition(":")[2]


def _overlap(one: str, other: str) -> bool:
    hosts = {one.rpartition(":")[0], other.rpartition(":")[0]}
    return len(hosts) == 1 or "tcp://*" in hosts
