"""The world that a run is planned for: what the inventory says, and what each host said of itself."""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from fedmsg_relay_plan import addresses, endpoints, tolerance
from fedmsg_relay_plan.addresses import Status
from fedmsg_relay_plan.tags import RELAY, narrowing
from fedmsg_relay_plan.told import Answers, Inventory, Keys, Paths, Wanted

ANSWERS = [one.name for one in fields(Answers)]
PEER = re.compile(r"^\[?(.*?)\]?:\d+$")
NAMED = re.compile(r"^tcp://\[?([A-Za-z0-9._:-]+?)\]?:\d+$")


@dataclass(frozen=True)
class Host:
    """A host that answered: what the inventory says of it, and what it said itself.

    Attributes:
        name: its name in the inventory.
        inventory: what the inventory says.
        looked: the result of the module ``fedmsg_relay_look``.
        paths: where the role's files are.
        wanted: what it is to have.
        keys: how its keys differ.
        answers: what it has answered.
    """

    name: str
    inventory: Inventory
    looked: Mapping[str, Any]
    paths: Paths
    wanted: Wanted
    keys: Keys
    answers: Answers

    @property
    def ours(self) -> tuple[str, ...]:
        """All paths at which the role's files are."""
        return tuple(self.looked["files"]["ours"])

    @property
    def foreign(self) -> tuple[str, ...]:
        """The role's paths at which files of others are."""
        return tuple(self.looked["files"]["foreign"])

    @property
    def installed(self) -> bool:
        """Whether systemd knows a unit of the relay, whoever wrote it."""
        return bool(self.looked["service"]["loaded"])

    @property
    def unit(self) -> Mapping[str, str]:
        """The properties of the unit."""
        return self.looked["service"]["properties"]  # type: ignore[no-any-return]

    @property
    def running(self) -> bool:
        """Whether the unit runs."""
        return int(self.looked["service"]["started"]) > 0

    @property
    def pid(self) -> int:
        """The process of the unit; 0 if there is none."""
        return int(self.looked["service"]["pid"])

    @property
    def processes(self) -> tuple[str, ...]:
        """All processes of relays, whoever started them."""
        return tuple(self.looked["processes"])

    @property
    def listening(self) -> tuple[tuple[str, str, str], ...]:
        """Listening sockets: port, process, pid. Process and pid may be empty."""
        return tuple((port, process, pid) for port, process, pid in self.looked["ports"])

    @property
    def status(self) -> Status:
        """What the relay answers; empty if none does."""
        return self.looked["status"]["answer"]  # type: ignore[no-any-return]

    @property
    def upstream(self) -> Mapping[str, Any]:
        """What the running relay is chained to; empty if it publishes by itself."""
        return self.status.get("upstream") or {}

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its relay.toml; empty if there is none, or a faulty one."""
        try:
            return tomllib.loads(self.settings_text)
        except tomllib.TOMLDecodeError:
            return {}

    @property
    def settings_text(self) -> str:
        """The text of its relay.toml."""
        return self.text(self.paths.settings)

    @property
    def chained(self) -> bool:
        """Whether the relay is chained, or its settings say so: a run may have ended before the restart."""
        return "upstream" in self.settings or bool(self.upstream)

    @property
    def upstreams(self) -> tuple[str, ...]:
        """The names of the relays that its relay is chained to, or will be after a restart."""
        written = self.settings.get("upstream") or {}
        found = (NAMED.match(address) for address in [*self.upstream.get("submit", ()), *written.get("submit", ())])
        return _unique(match[1] for match in found if match)

    @property
    def bound(self) -> dict[str, list[str]]:
        """The addresses that peers of its relay may be connected to."""
        return addresses.bound(self.status, self.settings_text)

    @property
    def named(self) -> tuple[str, ...]:
        """The names of relays in its global config. A wildcard names none."""
        found = (NAMED.match(address) for address in self.looked["config"]["inbound"])
        return _unique(match[1] for match in found if match)

    @property
    def chained_peers(self) -> tuple[str, ...]:
        """Addresses of peers that submit and listen here, as a chained relay does."""
        peers = self.status.get("peers") or {}
        listening = _hosts(peers.get("listeners", ()))
        return tuple(host for host in _hosts(peers.get("submitters", ())) if host in listening)

    @property
    def is_behind(self) -> bool:
        """Whether its global config is not the one that it is to have."""
        return self.text(self.paths.config) != self.wanted.texts[self.paths.config]

    def text(self, path: str) -> str:
        """Give the text of a file.

        Args:
            path: of a file that was read.

        Returns:
            Its text; empty if it is not there.
        """
        content = base64.b64decode(self.looked["contents"].get(path, ""))
        return content.decode("utf-8", errors="replace")


@dataclass(frozen=True)
class World:
    """Everything that a run is planned from.

    Attributes:
        group: the name of the group of relays.
        relays: its hosts, in its order.
        names: for each of them what the inventory calls it, by network.
        asked: the hosts of the run.
        hosts: those that answered.
        inventory: all hosts of the inventory.
        limited: whether the run is limited to a part of the hosts.
        gone: hosts and addresses of relays that are to be left alone.
        tolerance: which hosts a run can do without, as :mod:`.tolerance` takes it.
        tags: those that narrow the run; none if it takes all steps.
        webs: URLs of the web processes of the relays.
        grace: seconds for which a relay must have been unused before it is retired.
        paths: where the role's files are.
    """

    group: str
    relays: tuple[str, ...]
    names: Mapping[str, Mapping[str, str]]
    asked: tuple[str, ...]
    hosts: Mapping[str, Host]
    inventory: frozenset[str]
    paths: Paths
    limited: bool = False
    gone: frozenset[str] = frozenset()
    tolerance: Any = ()
    tags: frozenset[str] = frozenset()
    webs: tuple[str, ...] = ()
    grace: int = 300

    @property
    def silent(self) -> tuple[str, ...]:
        """Hosts of the run that did not answer."""
        return tuple(sorted(host for host in self.asked if host not in self.hosts))

    @property
    def in_run(self) -> tuple[str, ...]:
        """Relays of the group that take part in this run, whether they answer or not."""
        return tuple(sorted({*self.relays} & {*self.asked})) if not self.tags or RELAY in self.tags else ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Relays of the group that take no part in this run."""
        return tuple(sorted(set(self.relays) - set(self.in_run)))

    @property
    def tolerated(self) -> frozenset[str]:
        """Hosts that this run can do without. A host that a config names as a relay may have to be named for that."""
        named = {name for host in self.hosts.values() for name in host.named}
        return tolerance.tolerated(self.tolerance, self.silent, {*self.relays, *named}, len(self.asked))

    def name_of(self, relay: str, network: str) -> str:
        """Give the name of a relay.

        Args:
            relay: a host of the group.
            network: where it is to be found.

        Returns:
            Its name or IP address there; :data:`.endpoints.NONE` if it has none.
        """
        return endpoints.name_of(relay, self.names.get(relay, {}), network)


def read(run: Mapping[str, Any], told: Mapping[str, Mapping[str, Any]]) -> World:
    """Read the world from what Ansible gives.

    Args:
        run: what all hosts share; the keys are the attributes of :class:`World`.
        told: for each host that answered ``inventory``, ``looked``, ``wanted``, ``keys`` and ``answers``.

    Returns:
        The world.
    """
    paths: Mapping[str, Any] = run["paths"]
    where = Paths(**{**paths, "service": tuple(paths["service"]), "commands": tuple(paths["commands"])})
    return World(
        group=run["group"],
        relays=tuple(run["relays"]),
        # A faulty value is refused later, with its host.
        names={relay: names for relay, names in run["names"].items() if isinstance(names, Mapping)},
        asked=tuple(run["asked"]),
        hosts={name: _host(name, one, where) for name, one in told.items()},
        inventory=frozenset(run["inventory"]),
        paths=where,
        limited=run["limited"],
        gone=frozenset(run["gone"]),
        tolerance=run["tolerance"],
        tags=narrowing(run["tags"]),
        webs=tuple(run["webs"]),
        grace=int(run["grace"]),
    )


def _host(name: str, told: Mapping[str, Any], paths: Paths) -> Host:
    return Host(
        name,
        Inventory(**told["inventory"]),
        told["looked"],
        paths,
        Wanted(**told["wanted"]),
        Keys(**told["keys"]),
        Answers(**{name: answer for name, answer in told["answers"].items() if name in ANSWERS}),
    )


def _hosts(peers: Iterable[str]) -> tuple[str, ...]:
    return _unique(match[1] for match in map(PEER.match, peers) if match)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
