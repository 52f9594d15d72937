"""The plan of a run: for each host its part and its steps, or the reason why it cannot go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fedmsg_relay_plan.changes import changes
from fedmsg_relay_plan.guards import refusal_of_host, refusal_of_run
from fedmsg_relay_plan.parts import Part, foreign_unit, leftovers, of_part, old_addresses, part, theirs
from fedmsg_relay_plan.questions import Question, questions
from fedmsg_relay_plan.standing import standing
from fedmsg_relay_plan.steps import Step, steps
from fedmsg_relay_plan.world import Host, World, read


@dataclass(frozen=True)
class Replaced:
    """Files of others that are replaced on a host.

    Attributes:
        files: all of them.
        unit: those of them that systemd knows as the unit of the relay.
        config: those that are the global config.
        commands: those that are commands.
        dropins: files that change their unit, and would change ours.
        copies: of those files and drop-ins that are in the place of ours, ``src`` and ``dest``.
    """

    files: list[str] = field(default_factory=list)
    unit: list[str] = field(default_factory=list)
    config: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    dropins: list[str] = field(default_factory=list)
    copies: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class HostPlan:
    """What one host does.

    Attributes:
        part: its part.
        steps: its steps in their order.
        changes: clauses that say what will differ; none if the host is as it should be.
        refusal: why it takes no step; empty if it does.
        old: addresses to be retired.
        leftovers: files of a program that is to be removed.
        replaced: files of others that are replaced.
    """

    part: Part
    steps: list[Step]
    changes: list[str]
    refusal: str
    old: dict[str, list[str]]
    leftovers: list[str]
    replaced: Replaced


@dataclass(frozen=True)
class Plan:
    """What all hosts do.

    Attributes:
        hosts: the hosts that answered.
        relays: hosts of the group that take part in the run.
        leaving: hosts whose relay left the group.
        tolerated: hosts that this run can do without, if they do not answer.
        refusal: why no host takes a step; empty if they do.
        questions: what has to be asked before the plan is final.
        sentences: the plan for people, a line each.
        standing: where a move stands, for people.
    """

    hosts: Mapping[str, HostPlan]
    relays: list[str]
    leaving: list[str]
    tolerated: list[str]
    refusal: str
    questions: Mapping[str, Question]
    sentences: list[str]
    standing: str


def plan(world: World) -> Plan:
    """Plan a run.

    Args:
        world: what is to be planned for.

    Returns:
        The plan.
    """
    hosts = {name: _host(world, host) for name, host in world.hosts.items()}
    refusal = refusal_of_run(world)
    return Plan(
        hosts=hosts,
        relays=list(world.in_run),
        leaving=[host.name for host in of_part(world, Part.LEAVING)],
        tolerated=sorted(world.tolerated),
        refusal=refusal,
        questions=questions(world),
        sentences=_sentences(world, hosts, refusal),
        standing=standing(world),
    )


def of(told: Mapping[str, Mapping[str, Any]], run: Mapping[str, Any]) -> dict[str, Any]:
    """Plan a run, as a filter.

    Args:
        told: as :func:`fedmsg_relay_plan.world.read` takes it.
        run: likewise.

    Returns:
        The :class:`Plan` as dicts, lists and text.
    """
    made = asdict(plan(read(run, told)))
    for host in made["hosts"].values():
        host["part"], host["steps"] = str(host["part"]), list(map(str, host["steps"]))
    return made


def _host(world: World, host: Host) -> HostPlan:
    return HostPlan(
        part=part(world, host),
        steps=steps(world, host),
        changes=changes(world, host),
        refusal=refusal_of_host(world, host),
        old=old_addresses(world, host),
        leftovers=leftovers(world, host),
        replaced=_replaced(world, host),
    )


def _replaced(world: World, host: Host) -> Replaced:
    files, unit = theirs(world, host), foreign_unit(world, host)
    # A drop-in for all services of the site does not count.
    dropins = [
        path
        for path in host.unit.get("DropInPaths", "").split()
        if path.startswith("/etc/systemd/") and path.split("/")[-2] == "fedmsg-relay.service.d"
    ]
    ours = {*host.paths.service, *host.paths.commands, host.paths.config, host.paths.web}
    ours |= {host.paths.bridge, host.paths.bridge_settings}
    dropins = dropins if unit else []
    return Replaced(
        files=files,
        unit=[unit] if unit else [],
        config=[path for path in files if path == host.paths.config],
        commands=[path for path in files if path in host.paths.commands],
        dropins=dropins,
        copies=[
            {"src": path, "dest": f"{host.paths.adopted}{path}"}
            for path in [*(path for path in files if path in ours), *dropins]
        ],
    )


def _sentences(world: World, hosts: Mapping[str, HostPlan], refusal: str) -> list[str]:
    told = []
    for name, host in hosts.items():
        if host.refusal:
            told.append(f"{name}: cannot go on: {host.refusal}")
        elif host.part is Part.GONE:
            told.append(f"{name}: its relay is left alone (fedmsg_relay_gone)")
        elif host.changes:
            told.append(f"{name}: {', '.join(host.changes)}")
    well = [
        name for name, host in hosts.items() if not host.refusal and not host.changes and host.part is not Part.GONE
    ]
    if refusal:
        told.append(f"Refused: {refusal}")
    if world.silent:
        told.append(f"No answer: {', '.join(world.silent)}")
    if world.tags:
        told.append(f"Only a part of that, by --tags {','.join(sorted(world.tags))}")
    if well:
        told.append(f"Nothing to change: {', '.join(well)}")
    return told
