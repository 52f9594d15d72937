"""Everything that Ansible tells of a host: its inventory, what it is to have, and what it has answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedmsg_relay_plan.addresses import Addresses


@dataclass(frozen=True)
class Paths:
    """Where the role's files are. The same on every host.

    Attributes:
        config: the global config.
        settings: relay.toml.
        unit: the unit of the relay.
        web: the unit of the web process.
        bridge: the unit of the bridge.
        bridge_settings: the settings of the bridge.
        service: all files of a relay's host, with those two.
        commands: the links to the program.
        keys: the list of the keys and certificates that the role has written.
        adopted: the directory for copies of others' files that are replaced.
    """

    config: str
    settings: str
    unit: str
    web: str
    bridge: str
    bridge_settings: str
    service: tuple[str, ...]
    commands: tuple[str, ...]
    keys: str
    adopted: str


@dataclass(frozen=True)
class Inventory:
    """What the inventory and the command line say of one host.

    Attributes:
        names: by network, what the host is called there: ``fedmsg_relay_addresses``.
        network: the network that the host is on.
        commands: whether the host gets the commands.
        adopt: whether files of others may be replaced.
        config_extra: more of the global config.
        settings: tables of relay.toml.
        signatures: what a relay here does about signatures: ``off``, ``warn`` or ``enforce``.
        publishes: whether scripts publish here.
        web: whether a relay here has a web process.
        bridge: whether a relay here has a bridge.
        datagrepper: whether the global config says where stock consumers fetch what they missed.
        binds: what a relay here binds, by endpoint.
    """

    names: Mapping[str, str]
    network: str
    binds: Addresses
    commands: bool = True
    adopt: bool = False
    config_extra: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    signatures: str = "off"
    publishes: bool = True
    web: bool = False
    bridge: bool = False
    datagrepper: bool = False


@dataclass(frozen=True)
class Wanted:
    """What the role puts onto one host.

    Attributes:
        release: what ``current`` links to, such as ``releases/0.1.py311``; empty where nobody knows yet.
        texts: files by path.
        keys: the paths of its keys and certificates.
        bridge_differs: whether the settings of its bridge are others. Their text is not told: it may have a password.
    """

    release: str
    texts: Mapping[str, str]
    keys: Sequence[str] = ()
    bridge_differs: bool = False


@dataclass(frozen=True)
class Answers:
    """What a host has answered to questions; None where it was not asked.

    Attributes:
        names: names in configs that are this host's too.
        peers: addresses of peers where a relay answered.
        waiting: messages that a stopped relay has taken and not passed on.
    """

    names: list[str] | None = None
    peers: list[str] | None = None
    waiting: int | None = None


@dataclass(frozen=True)
class Keys:
    """How keys and certificates on a host differ from those of the controller; nothing where they were not compared.

    Attributes:
        differ: the paths of those that differ.
        foreign: those of them that others have written.
        unknown: owners and groups that the host does not know, such as ``user git``.
    """

    differ: Sequence[str] = ()
    foreign: Sequence[str] = ()
    unknown: Sequence[str] = ()
